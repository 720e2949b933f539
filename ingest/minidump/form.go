package minidump

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"breakwater/ingest"
	"breakwater/schemas"
)

// RejectMultipart refuses a body that is not the multipart it says it is.
var RejectMultipart = &ingest.Rejection{Status: 400, Detail: "invalid multipart data", Outcome: schemas.Invalid, Reason: "invalid_multipart"}

const (
	// maxParts bounds the parts of one request, fields and files.
	maxParts = 1000
	// maxPartHeader bounds the header of one part, in bytes.
	maxPartHeader = 16 << 10
	// maxName bounds the name of a field or file, in bytes.
	maxName = 512
)

// part is one field or file of a multipart body. body must be read before the
// next part is asked for.
type part struct {
	name, filename, contentType string
	file                        bool
	body                        io.Reader
}

// boundaryOf is the boundary of a multipart request, ok false when it is not
// one.
func boundaryOf(h http.Header) (boundary string, ok bool, err error) {
	typ, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if !strings.HasPrefix(typ, "multipart/") {
		return "", false, nil
	}
	if err != nil || params["boundary"] == "" {
		return "", true, RejectMultipart.Because("no boundary")
	}
	return params["boundary"], true, nil
}

// walk calls use for each part as it arrives. Errors are those of use,
// RejectMultipart, and what reading fails with.
func walk(body io.Reader, boundary string, use func(*part) error) error {
	g := &guard{r: body, left: -1}
	mr := multipart.NewReader(g, boundary)
	for n := 0; ; n++ {
		if n == maxParts {
			return ingest.RejectTooLarge.Because("more than 1000 fields and files")
		}
		g.left = maxPartHeader + readAhead
		p, err := mr.NextRawPart()
		g.left = -1
		if err == io.EOF && g.ended(boundary) { // a body cut off in a line wraps it
			return nil
		}
		if err != nil {
			return g.blame(err)
		}
		up := &part{
			name: clip(p.FormName()), filename: clip(p.FileName()), contentType: clip(p.Header.Get("Content-Type")),
			body: bodyOf{p, g},
		}
		up.file = up.filename != ""
		if err := use(up); err != nil {
			return err
		}
		// What is left is skipped here, where headers have no say in how much that is.
		if _, err := io.Copy(io.Discard, up.body); err != nil {
			return err
		}
	}
}

func clip(s string) string {
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	return s
}

// readAhead is more than what mime/multipart reads beyond what it was asked for.
const readAhead = 8 << 10

// guard bounds what is read while a part's header is looked for: its reader
// would take megabytes. It remembers the body's own error, which the multipart
// reader wraps in its own words.
type guard struct {
	r    io.Reader
	left int // bytes that may still be read; -1 for no bound
	err  error
	tail []byte // the last bytes read, at most readAhead
}

var errHeaderTooLong = RejectMultipart.Because("the header of a part is too long")

func (g *guard) Read(p []byte) (int, error) {
	if g.left == 0 {
		g.err = errHeaderTooLong
		return 0, g.err
	}
	if g.left > 0 && len(p) > g.left {
		p = p[:g.left]
	}
	n, err := g.r.Read(p)
	if g.left > 0 {
		g.left -= n
	}
	g.keep(p[:n])
	if err != nil && err != io.EOF { // io.Reader's own word
		g.err = err
	}
	return n, err
}

// keep remembers the end of what was read.
func (g *guard) keep(p []byte) {
	if len(p) > readAhead {
		p = p[len(p)-readAhead:]
	}
	if over := len(g.tail) + len(p) - readAhead; over > 0 {
		g.tail = g.tail[:copy(g.tail, g.tail[over:])]
	}
	g.tail = append(g.tail, p...)
}

// ended tells whether the last boundary was seen: mime/multipart says the same
// of a body that is cut off in the header of a part.
func (g *guard) ended(boundary string) bool {
	return g.err == nil && bytes.Contains(g.tail, []byte("--"+boundary+"--"))
}

// blame is the body's own error where there is one, else the text is at fault.
func (g *guard) blame(err error) error {
	if g.err != nil {
		return g.err
	}
	return RejectMultipart.Because(strings.TrimPrefix(err.Error(), "multipart: ")).With(err)
}

// bodyOf reads a part; its errors are the body's own, or RejectMultipart.
type bodyOf struct {
	p *multipart.Part
	g *guard
}

func (b bodyOf) Read(p []byte) (int, error) {
	n, err := b.p.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's own word; a body cut off wraps it
		err = b.g.blame(err)
	}
	return n, err
}

// nested finds the dump in a multipart that an old Electron put into the field
// of the dump: r begins with its boundary.
func nested(r *bufio.Reader, use func(io.Reader) error) error {
	line, err := r.Peek(2 + 70 + 2)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	first, _, found := strings.Cut(string(line), "\n")
	boundary := strings.TrimRight(strings.TrimPrefix(first, "--"), "\r")
	if !found || boundary == "" {
		return RejectMinidump.Because("neither a dump nor a multipart with one")
	}
	seen := false
	err = walk(r, boundary, func(p *part) error {
		if p.name != dumpField || seen {
			return nil
		}
		seen = true
		return use(p.body)
	})
	if err == nil && !seen {
		return RejectMissing
	}
	return err
}
