package schemas

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// ParseEventID reads 32 hex digits or a dashed UUID, in any case, and returns
// 32 lower-case hex digits; the nil UUID is no id.
func ParseEventID(s string) (id string, ok bool) {
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		s = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	s = strings.ToLower(s)
	if !isHex(s, 32) || s == strings.Repeat("0", 32) {
		return "", false
	}
	return s, true
}

// NewEventID makes a random (version 4) UUID without dashes.
func NewEventID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return hex.EncodeToString(b[:])
}

// DashedEventID writes an id of 32 hex digits as a UUID with dashes, which is
// how the endpoints of crash uploaders answer (protocol §4.2, §4.6).
func DashedEventID(id string) string {
	if len(id) != 32 {
		return id
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}
