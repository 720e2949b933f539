// Package jetstream is the spool that several gateways share: streams of NATS
// JetStream. Its promise is that of package spool. How it keeps it:
//
//	Append ─encode─▶ line of its ─┐  one message      NAME            ┌▶ consumer shop~a ─▶ gateways ─▶ Claim ─▶ Settle ┐
//	Append ─encode─▶ project      ├─ with all that ─▶ records of all ─┤                                                  │
//	Append ─encode─▶              ┘  waited           gateways        └▶ consumer shop~b ─▶ …                            ▼
//	                                                     ▲  removed when all destinations are done      marks in NAME_state
//
// # The streams
//
// All have the same number of replicas and lie in files:
//
//	NAME         NAME.records.PROJECT     packs: the records of one commit group of one project
//	             NAME.again.PROJECT       records that were retried
//	             NAME.probe               asks whether a message can be stored
//	             no more than max_size bytes, refuses what is beyond, keeps what nobody consumes
//	NAME_dead    NAME.dead.PROJECT.DESTINATION.ID   dead letters; the oldest make room
//	NAME_state   NAME.state.SEQUENCE      marks: what became of a message's records so far
//	             NAME.state.again.ID      the message of a retried record with more dead letters
//	             NAME.state.turn.WHAT     which gateway did a round of housekeeping last
//	             NAME.state.hold.WHAT     which gateway alone may do something: empty the stream
//	NAME_large   object store: payloads that do not fit into a message
//
// Each destination is one durable pull consumer PROJECT~DESTINATION, shared by
// all gateways. Names with other characters than letters, digits, - and _ are
// written as = and hexadecimal digits.
//
// # Packing
//
// One message of a project is under way at a time, and what arrives meanwhile
// goes into the next one, up to 512 records and three quarters of the servers'
// max_payload (at most 512 KiB), compressed. A lone record is stored at once;
// after a message of eight records or more the next one waits, for a quarter of
// the time that one took at most, until its callers have come back with as many.
// So the servers sync once per message and not once per record, and write a part
// of its bytes. While what waits fills a message, up to four of a project are
// under way.
//
// A payload in a file, and what makes a record larger than a message, goes into
// the object store in chunks, all of them confirmed before the record is
// stored. A payload that no record needs is removed with the record. What a kill
// half way leaves behind (payloads, chunks of such, marks) an hourly sweep finds;
// it removes payloads that the same gateway found needless an hour before, too,
// whatever clocks say, and the oldest dead letters where they take more than
// their bound together with their payloads.
//
// # What is durable
//
// With sync_interval: always a server of a replicated stream writes the entry
// to its log and syncs it before it votes for it, so a confirmed message is on
// the disks of a majority. Open asks every server by its monitoring address and
// refuses where one does not sync; of those that do not answer a minority may
// be down, and is asked again later.
//
// # Leases and marks
//
// A gateway that has workers waiting asks for messages and leases each as a
// whole; its records are claimed one by one. While it lives it tells the servers
// so; when it dies its leases run out (30 s), and another gateway gets the
// messages. Close hands them over at once, with what the servers had sent by
// then. What they send while they do not know yet that nobody listens they give
// out again at once, too, where the gateway is connected to the server that leads
// the consumer; through another one it comes when the lease runs out.
//
// What became of a record at a destination is a mark. A message whose records
// have all ended everywhere is removed, without any marks. Else the marks are
// written to NAME_state within a tenth of a second, only over those that were
// read before (compare and set): two gateways that work on two destinations of
// one message read each other's marks, and the one that completes a record tells
// the observer. So a record settles once, with the worst outcome per item.
// Every gateway that gets a message reads its marks first.
//
// Release keeps the lease for up to a minute; beyond it the mark says until
// when, and the message goes back with a negative acknowledgement and a delay.
// Bury stores the dead letter, then the mark, and then returns. Retry stores the
// record as a message of its own, and then removes the dead letter; where other
// destinations still wait, the whole record moves into that message. Another
// gateway may end the last of these at the same time: whoever writes the marks
// first wins, the other reads them, and the record settles once, or is requeued
// where the end came first.
//
// # What can go wrong
//
//   - A gateway is killed. Appends that were not confirmed were not answered.
//     Settlements of the last tenth of a second, and deliveries under way, are
//     repeated by another gateway when the leases have run out: duplicates,
//     never a loss. Between two steps of Bury or Retry, and where a burial
//     failed because no server answered, a record may be both a dead letter and
//     waiting: it is delivered as well, buried once more over itself, or retried
//     under the same name.
//   - A server dies. The others elect a leader within seconds; appends wait for
//     it up to ten seconds and are tried again under the same message id, which
//     the servers recognise for two minutes. Acknowledgements that a dying
//     leader did not pass on are deliveries that are repeated and, by the marks,
//     skipped.
//   - No majority, or no connection. Append fails with *spool.FullError
//     ("unavailable"), the first ones after trying, the next ones at once. It
//     works again when a small message could be stored, which is tried four
//     times a second. What is leased can be delivered meanwhile; its settlements
//     are stored later.
//   - An answer that is lost. After ten seconds Append fails, and cannot know
//     whether the servers have the record: such a record may be delivered, and
//     its client, that was told to come back, sends it again. It is the one
//     exception to "after an error nothing of it will be delivered". Nobody is
//     told that it was appended, because at the door it counts as refused. The
//     gateway that ends it tells Recovered and Settled, so that its own books
//     balance; over all gateways there are as many more settled than appended. To
//     count it as appended the gateway would have to find it in the stream before
//     another one ends it, which it cannot be sure of. An operator sees the 503 of
//     that moment, a second arrival of the event, and breakwater_items_recovered
//     grow while nothing was started.
//   - A lease that runs out while its gateway lives but cannot reach a server, or
//     was frozen, for more than 30 s: the records go to another gateway as well.
//     Both deliver them, and where both end a record before either has read the
//     other's marks, both tell of it. Only a settlement that waited for the servers
//     each time would prevent it, and each record would cost a round trip. An
//     operator sees breakwater_spool_jetstream_redelivered_total grow, second
//     arrivals of up to as many events as the gateway had leased (about 8 messages of a
//     destination), and as many more ends than appends over all gateways; each
//     gateway's own books balance, because the second one tells Recovered.
//   - Somebody removes a consumer: gateways make it again within seconds, and
//     skip by the marks what was done. Somebody removes a stream: gateways make it
//     again, when the servers have said four times within a second that there is
//     none; appends wait for it, or fail with "unavailable" as where no server
//     answers. What was in it is lost, but for records that a gateway holds: these
//     are delivered. The gateway that makes the stream of records says in the log
//     how many records waited in it as far as it knew, and counts them in
//     breakwater_spool_jetstream_lost_records_total.
//   - A record of a message cannot be read: the others are delivered. The message
//     stays, is counted as damaged and named in the log. The sweep keeps the
//     payloads that it may need: those of the record that a dead letter or a
//     retried record names, else those stored within an hour before the message. A
//     message of a newer version keeps all.
//   - The servers' max_payload is lowered: records that are larger than a message
//     may be now are delivered as before, and buried or retried with their envelope
//     in the object store.
//   - A gateway's clock is wrong by more than five minutes: it ends no records as
//     too old, and says so. What it puts off is due by its clock.
//   - Gateways have different limits: the streams have those that were set last.
//     The bound on a project's messages only grows, because the servers would
//     remove what is beyond a lower one, and copies never become fewer.
//
// # Duplicates at the door
//
// The message id of a record that is alone in its message is made of project,
// event id, destinations and items. A client that sends the same event again
// within two minutes is answered 200 and nothing is stored: its items settle as
// filtered with the reason "duplicate". Another envelope with the same event id
// (an attachment) has other items, and is stored. A record that shares its
// message with others, has no event id or a payload in the object store is not
// recognised when its client sends it again.
//
// # The ledger
//
// The observer of each gateway is told of what happens there:
//
//	Append                     Appended
//	last destination is done   Settled; before it Recovered, if another life appended the record
//	retry of a dead letter
//	  of a record that settled Requeued
//
// A start recovers nothing: what waits is no opening balance of one gateway,
// because any of them may be at it. So the books of one gateway balance with
// what it appended and others settle, and over all gateways and lives
//
//	appended + requeued = settled + in the spool
//
// where Recovered says how many of the settled ones came from another life, and
// "in the spool" is what Stats tells at any gateway. A gateway killed between a
// confirmation and its note, or with settlements that were not stored, leaves a
// difference of those records; so does a record that two gateways deliver
// because a lease ran out, which both may tell of.
//
// # Memory
//
// No gateway has an index of the stream: it holds the messages it leases, about
// 8 per destination and those with records that wait less than a minute, at most
// 128 MiB; 64 MiB of appends that wait for their confirmation; and a page of a
// walk, 8 MiB.
package jetstream
