// Package sentry delivers to Sentry and to servers that speak its envelope
// protocol: hosted and self-hosted Sentry, Relay, Bugsink, GlitchTip, another
// gateway.
//
//	Envelope ──header──▶ WriteTo ──compress──▶ POST {prefix}/api/{project}/envelope/
//	          dsn removed          gzip         X-Sentry-Auth, the client's User-Agent and address
//	          sent_at moved                     one attempt, redirects refused
//	          trace.public_key mapped
//
// Its promise: what reaches the upstream is what the client sent, but for
// three fields of the envelope header; the time an event happened is the same
// whether it was held for a millisecond or for a week (see the function
// header); and the memory of a delivery does not depend on its size.
//
// The client never has a say in where a connection goes: the address comes
// from the configured DSN, redirects are not followed, and neither cookies nor
// an Authorization header are ever sent.
package sentry
