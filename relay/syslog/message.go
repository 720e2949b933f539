package syslog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Facilities are those of RFC 5424 by their short names, in their order.
var Facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// Severities of RFC 5424 that the gateway uses.
const (
	Critical      = 2
	Error         = 3
	Warning       = 4
	Informational = 6
	Debug         = 7
)

// Facility is the number of a facility.
func Facility(name string) (int, error) {
	if i := slices.Index(Facilities, name); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("facility %q is not one of %s", name, strings.Join(Facilities, ", "))
}

// Header is what stands before the text of a message. Hostname, App, Proc and
// ID become "-" when they are empty, and lose what a header cannot carry.
type Header struct {
	Facility, Severity      int
	Time                    time.Time
	Hostname, App, Proc, ID string
}

// rfc5424Time is a time in UTC with microseconds, the most that is allowed.
const rfc5424Time = "2006-01-02T15:04:05.000000Z"

// Message is the header, no structured data, and a text, which must be UTF-8
// without line breaks.
func Message(h Header, text []byte) []byte {
	b := make([]byte, 0, len(text)+128)
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(h.Facility*8+h.Severity), 10)
	b = append(b, ">1 "...)
	b = h.Time.UTC().AppendFormat(b, rfc5424Time)
	for _, f := range []struct {
		text string
		most int
	}{{h.Hostname, 255}, {h.App, 48}, {h.Proc, 128}, {h.ID, 32}} {
		b = append(b, ' ')
		b = appendName(b, f.text, f.most)
	}
	b = append(b, " - "...)
	return append(b, text...)
}

// appendName appends what of s is printable ASCII, "-" when that is nothing.
func appendName(b []byte, s string, most int) []byte {
	n := 0
	for i := 0; i < len(s) && n < most; i++ {
		if s[i] > 32 && s[i] < 127 {
			b = append(b, s[i])
			n++
		}
	}
	if n == 0 {
		b = append(b, '-')
	}
	return b
}

// Frame appends a message with its length before it: octet counting, RFC 6587.
func Frame(b, message []byte) []byte {
	b = strconv.AppendInt(b, int64(len(message)), 10)
	b = append(b, ' ')
	return append(b, message...)
}
