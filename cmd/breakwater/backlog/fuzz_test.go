package backlog_test

import (
	"bytes"
	"testing"

	"breakwater/cmd/breakwater/backlog"
)

// A reader of anything ends, and never hands out an envelope whose checksum is
// wrong without saying so.
func FuzzArchive(f *testing.F) {
	f.Add(archive(f, 2))
	f.Add([]byte("{\"format\":\"breakwater-spool\",\"version\":1}\n{\"record\":\"a\",\"project\":\"b\",\"destinations\":[\"c\"],\"length\":3,\"sha256\":\"\"}\nabc\n"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = whole(b)
		r := backlog.NewReader(bytes.NewReader(b))
		for range 100 {
			if _, _, _, err := r.Next(); err != nil {
				return
			}
		}
	})
}
