// Package release makes sure that every error can be told apart by release
// and environment before anything counts, samples or relays it.
//
//	item          release                          environment          tags
//	event         client's if valid, else the      client's if valid,   gateway.project
//	              project's default; without       else the project's   gateway.received_at
//	              one: dropped where required
//	raw_security  the same, in the item's header;  the same             —
//	              never required
//	session(s)    client's; missing: the default;  removed if invalid   —
//	              else dropped
//	transaction, feedback, replay_event, check_in:
//	              removed if invalid               removed if invalid   —
//	all others    untouched                        untouched            —
//
// Its promise: no name leaves that Sentry would refuse, and nothing else of a
// payload changes by a byte. What is valid is Sentry's rule, see
// schemas.ValidRelease. A release that is removed takes its dist along, which
// means nothing without it. The trace header of an envelope is never touched:
// servers ignore an invalid release there.
//
// An error without a release, in a project that requires one and has no
// default, ends as invalid (release_required); a request that brought nothing
// else is answered 400 "release required". A session without a valid release
// ends as invalid (invalid_release) and is answered 200, as Sentry does: an
// SDK could do nothing about it. Crash dumps carry their release inside the
// dump, where it cannot be read; they pass, and an event beside one does.
package release
