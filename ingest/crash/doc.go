// Package crash takes the plain JSON crash reports of clients without a Sentry
// SDK and makes Sentry events of them.
//
//	body ──schemas.DecodeCrash──▶ reports ──▶ ingest.NewEvent ──▶ item "event"
//	                                │
//	                                └ exceptions[].stack ──▶ frames
//	                                  V8, SpiderMonkey, JavaScriptCore, Hermes, Java
//
// Its promise: a report that keeps to the published schema becomes an event
// that Sentry shows as if an SDK had sent it, with its own id and its own time,
// however late it arrives; sending it again with its id changes nothing (see
// RememberFor; a restart forgets, and then the upstream knows the id). A
// report that does not is refused with the field's name, and its neighbours
// are kept. A stack text that no engine is known to write is kept as text in
// the context "crash_report", so nothing is lost.
//
// Stack texts are read in one pass, a line at a time; engines are told apart
// line by line, because bundlers and wrappers mix them. At most ingest.MaxFrames
// frames are kept, those nearest to the crash.
package crash
