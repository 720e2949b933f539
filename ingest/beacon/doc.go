// Package beacon is the protocol of POST /api/{project}/vitals/: Web Vitals as
// the web-vitals library reports them, mobile measurements in the same shape.
//
//	body, any content type ──schemas.DecodeBeacon──▶ Batch.Beacons ──▶ recorder (histograms)
//	                                            └──▶ Batch.Items   ──▶ spool (only with ToSentry)
//
// Its promise: a bad entry never costs its neighbours, and every entry that was
// sent is counted: entries that cannot be read stay in the beacon without a
// value, so that the recorder rejects them by reason and the ledger's received
// equals its outcomes. A request in which nothing is usable is refused.
package beacon
