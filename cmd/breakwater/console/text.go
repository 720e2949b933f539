package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Visible makes a stranger's text harmless to look at: control characters,
// those that turn the direction of writing and those nobody sees are written
// out as ‹U+202E›, invalid UTF-8 becomes �, line breaks a space, and what is
// longer than limit bytes is cut and ends in an ellipsis. It does not escape
// HTML: templates do.
func Visible(s string, limit int) string { return visible(s, limit, false) }

// VisibleLines is Visible for what has lines of its own, such as a payload: it
// keeps them, and cuts nothing.
func VisibleLines(s string) string { return visible(s, len(s), true) }

// visible is Visible; lines keeps line breaks and tabs.
func visible(s string, limit int, lines bool) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if i >= limit {
			b.WriteRune('…')
			break
		}
		switch {
		case lines && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case hidden(r):
			fmt.Fprintf(&b, "‹U+%04X›", r)
		default:
			b.WriteRune(r) // an invalid byte is U+FFFD by now
		}
	}
	return b.String()
}

// plain is the quick way out for what is printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// hidden are runes that change how others look, or cannot be seen.
func hidden(r rune) bool {
	switch {
	case r == utf8.RuneError:
		return false
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r), unicode.Is(unicode.Co, r):
		return true
	}
	return r == 0x115f || r == 0x1160 || r == 0x3164 || r == 0xffa0 || r == 0x2800 || r >= 0xfe00 && r <= 0xfe0f && r != 0xfe0f
}

// number writes 1234567 as 1,234,567.
func number(v any) string {
	var s string
	switch n := v.(type) {
	case float64:
		s = strconv.FormatFloat(n, 'f', 0, 64)
	default:
		s = fmt.Sprint(n)
	}
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// plural writes a number of things.
func plural(n any, one string, many ...string) string {
	text := number(n)
	switch {
	case text == "1":
		return "1 " + one
	case len(many) > 0:
		return text + " " + many[0]
	}
	return text + " " + one + "s"
}

// size writes bytes in binary units, as the configuration does.
func size(v any) string {
	var n float64
	switch v := v.(type) {
	case int64:
		n = float64(v)
	case int:
		n = float64(v)
	case float64:
		n = v
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for ; (n >= 1024 || n <= -1024) && i < len(units)-1; i++ {
		n /= 1024
	}
	if i == 0 || n >= 100 || n <= -100 {
		return fmt.Sprintf("%.0f %s", n, units[i])
	}
	return fmt.Sprintf("%.1f %s", n, units[i])
}

// span writes a duration by its largest units.
func span(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	switch {
	case d < time.Second:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 10*time.Hour && d%time.Hour >= time.Minute:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func seconds(s float64) string { return span(time.Duration(s * float64(time.Second))) }

// percent writes a share; what is not quite everything is never shown as 100 %.
func percent(v float64) string {
	p := v * 100
	switch {
	case p >= 100:
		return "100 %"
	case p > 99.99:
		return "> 99.99 %"
	case p >= 99:
		return fmt.Sprintf("%.2f %%", p)
	}
	return fmt.Sprintf("%.1f %%", p)
}

// vitalValue writes a measurement in the unit people know.
func vitalValue(vital string, v float64) string {
	switch {
	case vital == "CLS":
		return fmt.Sprintf("%.3f", v)
	case v < 1:
		return fmt.Sprintf("%.0f ms", v*1000)
	}
	return fmt.Sprintf("%.2f s", v)
}
