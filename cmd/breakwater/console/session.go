package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

const (
	cookieName = "breakwater_session"
	// sessionLife is how long a browser stays signed in, whatever it does.
	sessionLife = 12 * time.Hour
	maxSessions = 256
	// An address may try a wrong token this often at once, and then once a
	// second; of so many addresses it is known.
	attemptBurst     = 20
	attemptsPerSec   = 1
	attemptAddresses = 4096
)

// sessions are the browsers that are signed in. A session dies with the token
// it was opened by, with the process, and after sessionLife.
type sessions struct {
	now    func() time.Time
	secret [32]byte // of this process, for the marks in forms

	mu       sync.Mutex
	open     map[string]session // by the cookie's value
	attempts *lru.Cache[string, *rate.Limiter]
}

type session struct {
	until time.Time
	token [32]byte // hash of the token it was opened by
}

func newSessions(now func() time.Time) *sessions {
	s := &sessions{now: now, open: map[string]session{}}
	_, _ = rand.Read(s.secret[:]) // never fails
	s.attempts, _ = lru.New[string, *rate.Limiter](attemptAddresses)
	return s
}

// start opens a session and returns its cookie.
func (s *sessions) start(token string, secure bool) *http.Cookie {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	id := hex.EncodeToString(raw[:])
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest, when := "", time.Time{}
	for k, v := range s.open {
		if !now.Before(v.until) {
			delete(s.open, k)
		} else if oldest == "" || v.until.Before(when) {
			oldest, when = k, v.until
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
	s.open[id] = session{now.Add(sessionLife), sha256.Sum256([]byte(token))}
	return &http.Cookie{
		Name: cookieName, Value: id, Path: "/", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	}
}

// find is the session of a request that the token in force opened, "" when
// there is none.
func (s *sessions) find(r *http.Request, token string) string {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.open[c.Value]
	if !ok || !s.now().Before(v.until) || v.token != sha256.Sum256([]byte(token)) {
		return ""
	}
	return c.Value
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
}

// try compares a token in constant time. A wrong one costs the address an
// attempt; without one left nothing is compared, and tired is true.
func (s *sessions) try(address, have, want string) (ok, tired bool) {
	s.mu.Lock()
	l, known := s.attempts.Get(address)
	if !known {
		l = rate.NewLimiter(attemptsPerSec, attemptBurst)
		s.attempts.Add(address, l)
	}
	s.mu.Unlock()
	now := s.now()
	if l.TokensAt(now) < 1 {
		return false, true
	}
	if subtle.ConstantTimeCompare([]byte(have), []byte(want)) == 1 {
		return true, false
	}
	l.AllowN(now, 1)
	return false, false
}

// mark is what a form must bring back: only a page of ours, read by who is
// signed in, can know it. Without a token all readers share one.
func (s *sessions) mark(session string) string {
	m := hmac.New(sha256.New, s.secret[:])
	m.Write([]byte(session))
	return hex.EncodeToString(m.Sum(nil))
}

func (s *sessions) marked(session, mark string) bool {
	return subtle.ConstantTimeCompare([]byte(s.mark(session)), []byte(mark)) == 1
}

// peer is the address of the other side, without its port.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// local is the path to go back to after signing in or acting: one of ours, so
// that no link can send a person elsewhere.
func local(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") || len(path) > 2000 {
		return "/"
	}
	return path
}
