// Command loadgen is the project's measuring instrument: it loads a gateway,
// stands in for its upstream, kills it, and counts what came through.
//
//	loadgen bench       requests/s, CPU and memory of a gateway beside an empty net/http handler and a bare file, in one run
//	loadgen compare     the same load at any other server, beside ours and the empty handler, in one run
//	loadgen torture     kill -9 under load, again and again; every acknowledged event must arrive at every upstream
//	loadgen chaos       several gateways, NATS, Redis, a balancer and the links between them broken in random order; nothing acknowledged may be lost
//	loadgen engines     appends per second of the spool on disk, the spool on JetStream and plain publishing, in one run
//	loadgen full        the spool or a small disk runs full: 503, then 200 again without a restart, nothing lost
//	loadgen fanout      delivery latency of one upstream with its sibling up and down, in one run
//	loadgen backlog     a million records behind a dead upstream: memory, reopening, disk given back
//	loadgen attachment  what one large attachment costs in memory
//	loadgen cost        what one request costs each part of several gateways: CPU, disk, network, Redis, fsyncs
//	loadgen size        what a number of page views a day needs: cores, disk, servers, network, money
//	loadgen load        load one gateway, closed or open loop, and print what it answered and a latency histogram
//	loadgen sink        a recording upstream to point a gateway at, which fails as a script says
//	loadgen ref         the empty net/http handler everything is compared with
//
// Its promise: it sends to loopback only, it stops by itself, and a number it
// prints comes with the numbers it was compared with. Absolute times on a
// shared machine are noise; ratios of one run are not.
package main
