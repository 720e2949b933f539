// Package auth finds out who a request is from: which credentials it carries,
// whether they are well formed, which project they open.
//
//	X-Sentry-Auth ─┐
//	Authorization ─┤
//	query string  ─┼─▶ one key ──▶ syntax ──▶ version ──▶ directory ──▶ project, key
//	path          ─┤   (two: 401)  (400)      (400)       (403)
//	envelope dsn  ─┘   (none: 401)
//
// Its promise: every answer of Sentry's own servers to good and bad
// credentials is given as they give it; a DSN is looked up, never connected to.
// It keeps nothing and does nothing: functions of a request's head and the
// directory.
package auth
