package ingest

import "io"

// freeBody is how much of a body is held without being counted against what
// all requests share.
const freeBody = 64 << 10

// ReadAll reads a body into memory. What goes beyond the first 64 KiB is asked
// for, as it grows, from the memory that all requests share; the bound itself
// is the endpoint's MaxBody. Errors: those of reading, and RejectOverload.
func (r *Request) ReadAll(body io.Reader) ([]byte, error) {
	p := make([]byte, 0, 4<<10)
	for {
		if len(p) == cap(p) {
			size := 2 * cap(p)
			if size > freeBody {
				if err := r.Reserve(int64(size - max(cap(p), freeBody))); err != nil {
					return nil, err
				}
			}
			p = append(make([]byte, 0, size), p...)
		}
		n, err := body.Read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		if err == io.EOF {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
