package scrub

import (
	"bytes"
	"testing"
)

// FuzzScanner holds what one pass over a string says to what looking for each
// word by itself finds: the sieve may suspect too much, it must not miss a word.
func FuzzScanner(f *testing.F) {
	fields := []string{"z", "ip", "zip", "phone", "a rather long name of a field", "bearing"}
	for _, s := range []string{
		"", "z", "ip", "a zip", "PassWord", "xapi_keyx", "users/settings\\home/", "-----BEGIN", "mysql_pwd", "toke", "tokentoken",
		"A Rather Long Name Of A Field", "secre", "secretpasswd", "1234 5", "\xffauth\x00", "private-key?a=b#c%20@x.y:\\",
	} {
		f.Add([]byte(s))
	}
	plain, own := newScanner(nil), newScanner(fields)
	f.Fuzz(func(t *testing.T, s []byte) {
		folded := []byte(foldASCII(string(s)))
		for _, sc := range []*scanner{plain, own} {
			var want traits
			for _, w := range passwordWords {
				if bytes.Contains(folded, []byte(w)) {
					want |= wordPassword
				}
			}
			for w, tr := range otherWords {
				if bytes.Contains(folded, []byte(w)) {
					want |= tr
				}
			}
			for _, w := range fields {
				if sc == own && bytes.Contains(folded, []byte(w)) {
					want |= wordField
				}
			}
			digits := 0
			for _, b := range s {
				want |= byteTraits(b)
				if isDigit(b) {
					digits++
				}
			}
			if got, n := sc.scan(s); got != want || n != digits {
				t.Fatalf("%q: traits %b, want %b; %d digits, want %d", s, got, want, n, digits)
			}
		}
	})
}
