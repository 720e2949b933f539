package backlog

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"breakwater/schemas"
)

// Format and Version stand in an archive's first line.
const (
	Format  = "breakwater-spool"
	Version = 1
)

// maxHead bounds a line of an archive, in bytes.
const maxHead = 1 << 20

// Header is the first line.
type Header struct {
	Format    string    `json:"format"`
	Version   int       `json:"version"`
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	// Source is the name of the machine the records come from.
	Source string `json:"source,omitempty"`
	// Paused are the destinations that were paused for the export.
	Paused []string `json:"paused,omitempty"`
}

// Head is the line before a record's envelope.
type Head struct {
	// Record is the id the record has at its source.
	Record       string   `json:"record"`
	Project      string   `json:"project"`
	Destinations []string `json:"destinations"`
	// Dead says that they were dead letters, Reason why.
	Dead   bool   `json:"dead"`
	Reason string `json:"reason,omitempty"`
	// Meta is the record's, without id and destinations.
	Meta   schemas.Meta `json:"meta"`
	Length int64        `json:"length"`
	SHA256 string       `json:"sha256"`
}

// End is the last line.
type End struct {
	End     bool   `json:"end"`
	Records int    `json:"records"`
	SHA256  string `json:"sha256"`
}

// WriteRecord writes a record's line and its envelope. The envelope is read
// twice, first for its checksum; payloads in files cost no memory.
func WriteRecord(w io.Writer, h Head, rec *schemas.Record) error {
	sum := sha256.New()
	n, err := rec.Envelope.WriteTo(sum)
	if err != nil {
		return fmt.Errorf("reading record %s: %w", h.Record, err)
	}
	h.Meta, h.Length, h.SHA256 = rec.Meta, n, hex.EncodeToString(sum.Sum(nil))
	h.Meta.ID, h.Meta.Destinations = "", nil
	if err := writeLine(w, h); err != nil {
		return err
	}
	if _, err := rec.Envelope.WriteTo(w); err != nil {
		return fmt.Errorf("writing record %s: %w", h.Record, err)
	}
	_, err = w.Write([]byte("\n"))
	return err
}

func writeLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// Reader reads an archive, or the records of one without first and last line.
type Reader struct {
	r *bufio.Reader
	// Offset is where the next line begins, in bytes.
	Offset int64
	all    hash.Hash // of everything before the next line
	body   *body
	count  int
}

// NewReader reads from the start of an archive or of a record's line.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), all: sha256.New()}
}

// ErrTorn says that an archive ends in the middle or lacks its last line.
var ErrTorn = errors.New("the archive is not whole: the export broke off, or the file was cut")

// Header reads the first line.
func (r *Reader) Header() (Header, error) {
	var h Header
	line, err := r.line()
	if err != nil {
		return h, err
	}
	if json.Unmarshal(line, &h) != nil || h.Format != Format {
		return h, errors.New("this is not an archive of a spool")
	}
	if h.Version != Version {
		return h, fmt.Errorf("the archive has version %d, this build reads %d", h.Version, Version)
	}
	r.take(line)
	return h, nil
}

// take counts a line as read.
func (r *Reader) take(line []byte) {
	_, _ = r.all.Write(line)
	r.Offset += int64(len(line))
}

// line is the next one with its line break. It is not yet counted.
func (r *Reader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull) && len(line) <= maxHead:
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, errors.New("a line of the archive is too long")
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, ErrTorn
		}
		return nil, err
	}
}

// Next is the next record: its line and its envelope, which must be read to
// the end (or is skipped by the next call), where its checksum is compared.
// After the last record it is io.EOF, with end set when the archive's last
// line was there and right.
func (r *Reader) Next() (h Head, envelope io.Reader, end *End, err error) {
	if err := r.skip(); err != nil {
		return h, nil, nil, err
	}
	line, err := r.line()
	if err != nil {
		return h, nil, nil, err
	}
	if bytes.HasPrefix(line, []byte(`{"end":true`)) {
		var e End
		if json.Unmarshal(line, &e) != nil || !e.End {
			return h, nil, nil, errors.New("the last line of the archive cannot be read")
		}
		if e.Records != r.count || e.SHA256 != hex.EncodeToString(r.all.Sum(nil)) {
			return h, nil, nil, errors.New("the archive was changed: its checksum is another one")
		}
		return h, nil, &e, io.EOF
	}
	if err := json.Unmarshal(line, &h); err != nil || h.Record == "" || h.Project == "" || len(h.Destinations) == 0 || h.Length < 0 {
		return h, nil, nil, fmt.Errorf("a line at byte %d of the archive is not that of a record", r.Offset)
	}
	r.take(line)
	r.count++
	r.body = &body{r: r, head: h, left: h.Length, sum: sha256.New()}
	return h, r.body, nil, nil
}

// Sum is the checksum of everything read so far.
func (r *Reader) Sum() string { return hex.EncodeToString(r.all.Sum(nil)) }

// Count is how many records were begun.
func (r *Reader) Count() int { return r.count }

// skip reads what is left of an envelope.
func (r *Reader) skip() error {
	if r.body == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, r.body)
	r.body = nil
	return err
}

// body is one envelope in an archive.
type body struct {
	r    *Reader
	head Head
	left int64
	sum  hash.Hash
	done bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.left > 0 {
		n, err := b.r.r.Read(p[:min(int64(len(p)), b.left)])
		_, _ = b.sum.Write(p[:n])
		_, _ = b.r.all.Write(p[:n])
		b.left -= int64(n)
		b.r.Offset += int64(n)
		if errors.Is(err, io.EOF) {
			err = ErrTorn
		}
		return n, err
	}
	if b.done {
		return 0, io.EOF
	}
	c, err := b.r.r.ReadByte()
	if err != nil {
		return 0, ErrTorn
	}
	if c != '\n' {
		return 0, fmt.Errorf("record %s: its envelope is longer than its line says", b.head.Record)
	}
	b.r.take([]byte{'\n'})
	b.done = true
	if hex.EncodeToString(b.sum.Sum(nil)) != b.head.SHA256 {
		return 0, fmt.Errorf("record %s: its bytes were changed: the checksum is another one", b.head.Record)
	}
	return 0, io.EOF
}

// WriteHeader writes an archive's first line, WriteEnd its last one.
func WriteHeader(w io.Writer, h Header) error {
	h.Format, h.Version = Format, Version
	return writeLine(w, h)
}

// WriteEnd writes the last line.
func WriteEnd(w io.Writer, records int, sum string) error {
	return writeLine(w, End{End: true, Records: records, SHA256: sum})
}
