package console

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// signIn is the form that turns the token into a session.
type signIn struct {
	Next  string
	Fault string
}

func (s *server) signInPage(c echo.Context, status int, next, fault string) error {
	return s.render(c, status, "signin", view{Title: "Sign in", Bare: true, Data: signIn{Next: local(next), Fault: fault}})
}

func (s *server) getSignIn(c echo.Context) error {
	if s.o.Token() == "" || s.sessions.find(c.Request(), s.o.Token()) != "" {
		return c.Redirect(http.StatusSeeOther, local(c.QueryParam("next")))
	}
	return s.signInPage(c, http.StatusOK, c.QueryParam("next"), "")
}

func (s *server) postSignIn(c echo.Context) error {
	r, want := c.Request(), s.o.Token()
	next := local(c.FormValue("next"))
	if want == "" {
		return c.Redirect(http.StatusSeeOther, next)
	}
	right, tired := s.sessions.try(peer(r), c.FormValue("token"), want)
	switch {
	case tired:
		s.metrics.refused.Inc()
		c.Response().Header().Set("Retry-After", "1")
		return s.signInPage(c, http.StatusTooManyRequests, next, "Too many wrong tokens from this address. Wait a second and try again.")
	case !right:
		s.metrics.refused.Inc()
		s.o.Logger.Warn().Str("address", peer(r)).Msg("sign-in with a wrong token")
		return s.signInPage(c, http.StatusUnauthorized, next, "That is not the token. It is server.admin_token of the configuration.")
	}
	cookie := s.sessions.start(want, r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https")
	c.SetCookie(cookie)
	s.audit.add(Entry{At: s.o.Now().UTC(), Actor: actorSession + " " + cookie.Value[:8], Address: peer(r), Action: "sign_in", Target: "console"})
	return c.Redirect(http.StatusSeeOther, next)
}

// postSignOut ends the session of who asks.
func (s *server) postSignOut(c echo.Context) error {
	if err := s.checkMark(c); err != nil {
		return err
	}
	s.sessions.end(word(c, keySession))
	c.SetCookie(&http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	return c.Redirect(http.StatusSeeOther, "/signin")
}

// checkMark holds a form to having come from one of our pages.
func (s *server) checkMark(c echo.Context) error {
	if !s.sessions.marked(word(c, keySession), c.FormValue("mark")) {
		return echo.NewHTTPError(http.StatusForbidden, "this form is not of this session: go back, reload the page and try again")
	}
	return nil
}
