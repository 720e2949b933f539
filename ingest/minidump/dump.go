package minidump

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"breakwater/ingest"
	"breakwater/schemas"
)

// What is answered to what is no minidump, in Sentry's words (protocol §4.2).
var (
	RejectMinidump = &ingest.Rejection{Status: 400, Detail: "invalid minidump", Outcome: schemas.Invalid, Reason: "invalid_minidump"}
	RejectMissing  = &ingest.Rejection{Status: 400, Detail: "missing minidump", Outcome: schemas.Invalid, Reason: "missing_minidump_upload"}
)

const (
	// inlineFile is up to where a file stays in memory, in bytes.
	inlineFile = 64 << 10
	// maxWindow bounds the window or dictionary of a dump's inner compression,
	// in bytes: what xz and zstd use by default.
	maxWindow = 8 << 20
	// ratioFloor is how far a dump may expand before its ratio is looked at.
	ratioFloor = 1 << 20
)

// packing is a dump's inner compression.
type packing struct {
	magic string
	// wide decoders have windows of megabytes.
	wide bool
	open func(io.Reader) (io.Reader, func(), error)
}

var packings = []packing{
	{"\x1f\x8b", false, func(r io.Reader) (io.Reader, func(), error) {
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	}},
	{"\xfd7zXZ\x00", true, openXZ},
	{"BZh", true, func(r io.Reader) (io.Reader, func(), error) { return bzip2.NewReader(r), func() {}, nil }},
	{"\x28\xb5\x2f\xfd", true, openZstd},
}

// The decoders with the largest windows are used again: a crowd of small bombs
// would make as many of them otherwise.
var xzs, zstds sync.Pool

func openXZ(r io.Reader) (io.Reader, func(), error) {
	z, _ := xzs.Get().(*xz.Reader)
	var err error
	if z == nil {
		z, err = xz.NewReader(r, maxWindow)
	} else {
		err = z.Reset(r)
	}
	if err != nil {
		return nil, nil, err
	}
	return z, func() { xzs.Put(z) }, nil
}

func openZstd(r io.Reader) (io.Reader, func(), error) {
	z, _ := zstds.Get().(*zstd.Decoder)
	var err error
	if z == nil {
		z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(1<<40)) // the output has limits of its own
	} else {
		err = z.Reset(r)
	}
	if err != nil {
		return nil, nil, err
	}
	return z, func() {
		if err := z.Reset(nil); err != nil && !errors.Is(err, io.EOF) {
			z.Close()
			return
		}
		zstds.Put(z)
	}, nil
}

// seats are how many wide decoders work at a time; seatWait is how long a dump
// waits for one.
var seats = make(chan struct{}, 2)

const seatWait = 10 * time.Second

// keepDump stores a dump: unpacked, checked by its magic. Errors:
// RejectMinidump, RejectMissing (for a multipart without one),
// ingest.RejectTooLarge, RejectRatio, RejectCompression, RejectOverload, and
// what reading fails with.
func keepDump(req *ingest.Request, r io.Reader) (schemas.Body, error) {
	return keepDumpAt(req, r, 0)
}

func keepDumpAt(req *ingest.Request, r io.Reader, depth int) (body schemas.Body, err error) {
	br := bufio.NewReaderSize(r, 4<<10)
	head, err := br.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case len(head) == 0:
		return nil, RejectMinidump.Because("it is empty")
	case isDump(head):
		return keepFile(req, br)
	case bytes.HasPrefix(head, []byte("--")) && depth == 0:
		err := nested(br, func(inner io.Reader) (err error) {
			body, err = keepDumpAt(req, inner, 1)
			return err
		})
		return body, err
	}
	for i := range packings {
		if p := &packings[i]; bytes.HasPrefix(head, []byte(p.magic)) {
			return p.keep(req, br)
		}
	}
	return nil, RejectMinidump.Because("it does not begin with MDMP")
}

func isDump(head []byte) bool {
	return bytes.HasPrefix(head, []byte("MDMP")) || bytes.HasPrefix(head, []byte("PMDM"))
}

// keepFile stores a file as it is.
func keepFile(req *ingest.Request, r io.Reader) (schemas.Body, error) {
	body, err := req.Keep(r, inlineFile, req.Settings().AttachmentSize)
	if errors.Is(err, ingest.ErrPayloadTooLarge) {
		return nil, ingest.RejectTooLarge.Because("a file above limits.attachment_size")
	}
	return body, err
}

// keep unpacks a dump. A wide decoder does not wait for the network: what is
// packed goes to a file first.
func (p *packing) keep(req *ingest.Request, r io.Reader) (schemas.Body, error) {
	if !p.wide {
		return p.unpack(req, r)
	}
	packed, err := keepFile(req, r)
	if err != nil {
		return nil, err
	}
	if s, ok := packed.(ingest.Spill); ok {
		defer s.Discard()
	}
	req.Rest()
	t := time.NewTimer(seatWait)
	defer t.Stop()
	select {
	case seats <- struct{}{}:
		defer func() { <-seats }()
	case <-t.C:
		return nil, ingest.RejectOverload
	}
	if err := req.Work(); err != nil {
		return nil, err
	}
	f, err := packed.Open()
	if err != nil {
		return nil, ingest.RejectFull.With(err)
	}
	defer f.Close()
	return p.unpack(req, f)
}

func (p *packing) unpack(req *ingest.Request, r io.Reader) (schemas.Body, error) {
	in := &counted{r: r}
	z, done, err := p.open(in)
	if err != nil {
		return nil, in.blame(err)
	}
	defer done()
	out := bufio.NewReaderSize(&unpacked{z: z, in: in, ratio: req.Settings().CompressionRatio}, 4<<10)
	head, err := out.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !isDump(head) {
		return nil, RejectMinidump.Because("what is packed does not begin with MDMP")
	}
	return keepFile(req, out)
}

// counted counts what was read and remembers the source's own error, so that
// a decoder's complaint about the cut-off end is not taken for the cause.
type counted struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF { // io.Reader's own word
		c.err = err
	}
	return n, err
}

func (c *counted) blame(err error) error {
	if c.err != nil {
		return c.err
	}
	return ingest.RejectCompression.Because("the minidump cannot be unpacked").With(err)
}

// unpacked reads what a decoder gives, as long as it does not grow too fast.
type unpacked struct {
	z     io.Reader
	in    *counted
	out   int64
	ratio int64
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	u.out += int64(n)
	switch {
	case u.out > ratioFloor && u.out/u.ratio > u.in.n:
		return 0, ingest.RejectRatio
	case err != nil && err != io.EOF: // io.Reader's own word
		return n, u.in.blame(err)
	}
	return n, err
}

// packedSuffixes are taken off the name of a dump that was unpacked.
var packedSuffixes = []string{".gz", ".xz", ".bz2", ".zst", ".zstd"}

func dumpName(name string) string {
	name = path.Base(name)
	for _, s := range packedSuffixes {
		if rest, ok := strings.CutSuffix(name, s); ok && rest != "" {
			return rest
		}
	}
	if name == "" || name == "." || name == "/" {
		return "Minidump"
	}
	return name
}
