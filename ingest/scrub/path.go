package scrub

// findUserpath finds the name behind /Users/, /home/, C:\Users\, Documents and
// Settings\ and …\Profiles\, up to the next separator or line end (Relay's
// @userpath). That a URL's /users/42 loses its number is Sentry's behaviour.
func findUserpath(s []byte, from int) (int, int) {
	for i := from; i < len(s); i++ {
		if s[i] != '/' && s[i] != '\\' {
			continue
		}
		if !homeBefore(s, i) {
			continue
		}
		start := i + 1
		end := start
		for end < len(s) && s[end] != '/' && s[end] != '\\' && s[end] != '\r' && s[end] != '\n' && s[end] != 0 {
			end++
		}
		if end > start && !already(s[start:end]) {
			return start, end
		}
	}
	return -1, -1
}

// homeBefore tells whether one of the folders ends at i.
func homeBefore(s []byte, i int) bool {
	for _, word := range []string{"users", "home", "documents and settings"} {
		if k := i - len(word); k >= 0 && foldedPrefix(s[k:], word) && !wordBefore(s, k) {
			return true
		}
	}
	k := i - len("profiles")
	return k >= 2 && foldedPrefix(s[k:], "profiles") && (s[k-1] == '/' || s[k-1] == '\\') && s[k-2] != '/' && s[k-2] != '\\'
}

// findHomePath is the careful form for sentences: /Users/name and /home/name
// at the start of a path, C:\Users\name; the name ends at white space.
func findHomePath(s []byte, from int) (int, int) {
	for i := from; i < len(s); i++ {
		if s[i] != '/' && s[i] != '\\' || !homeRoot(s, i) {
			continue
		}
		start := i + 1
		for start < len(s) && s[start] == '\\' { // an escaped backslash in text
			start++
		}
		end := start
		for end < len(s) && !isSpace(s[end]) && isPathName(s[end]) {
			end++
		}
		if end > start && !already(s[start:end]) {
			return start, end
		}
	}
	return -1, -1
}

func isPathName(c byte) bool {
	switch c {
	case '/', '\\', ':', '"', '\'', '<', '>', '(', ')', '|', ',', 0:
		return false
	}
	return true
}

// homeRoot tells whether /Users, /home or C:\Users ends at i and begins a path.
func homeRoot(s []byte, i int) bool {
	for _, word := range []string{"/Users", "/home"} {
		if k := i - len(word); k >= 0 && string(s[k:i]) == word && (k == 0 || !isWord(s[k-1]) && s[k-1] != '.' && s[k-1] != '}') {
			return true
		}
	}
	for _, word := range []string{"users", "documents and settings"} {
		k := i - len(word)
		if k < 3 || !foldedPrefix(s[k:], word) {
			continue
		}
		for k > 2 && (s[k-1] == '\\' || s[k-1] == '/') {
			k--
		}
		if s[k-1] == ':' && isAlpha(s[k-2]) {
			return true
		}
	}
	return false
}
