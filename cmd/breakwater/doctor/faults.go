package doctor

// Known is a fault that has a name: what it means and what to do about it.
type Known struct{ Name, Cause, Fix string }

// Faults are all that can be named, in the order of the path.
var Faults = []Known{
	// Configuration and machine.
	{"config_invalid", "the configuration has a mistake, so the gateway would not start", "correct what is named; `breakwater check` shows all of it"},
	{"config_readable", "everybody on this machine can read the secrets in the file", "chmod 640, and give it the gateway's group"},
	{"config_not_loaded", "the running gateway has another configuration than the file", "reload it: kill -HUP, or POST /-/reload; what needs a restart says so"},
	{"dir_not_writable", "the folder cannot be written to: nothing could be accepted", "give the gateway's user the folder, or mount it writable"},
	{"disk_full", "less is free than spool.min_free: the gateway answers 503", "free space, or lower spool.min_free; accepting begins again by itself"},
	{"disk_small", "the file system ends before spool.max_size does", "lower spool.max_size below what the disk has, or use a larger disk"},
	{"fsync_slow", "every 200 waits for an fsync, and this disk takes long for one", "put spool.dir on a local SSD; network disks are often slow"},
	{"clock_off", "this machine's clock is wrong: events get wrong times, and limits wrong windows", "run NTP (chrony, systemd-timesyncd) and look again"},
	// What several gateways share.
	{"stream_unreachable", "no server of the stream can be used: the door answers 503, and a gateway does not start", "see that nats-server runs with JetStream on; correct spool.jetstream.url, credentials_file and ca_file"},
	{"stream_unsynced", "a server confirms reports before they are on its disk: a power cut of all servers loses up to its sync_interval of them", "set sync_interval: always in the jetstream section of every nats-server, and restart them one by one"},
	{"stream_unasked", "nobody can see whether this server syncs before it confirms; a gateway starts only when most of them can be asked", "see that it runs; set http_port in its configuration and name the address in spool.jetstream.monitor_urls"},
	{"stream_replicas", "not every copy that is configured is there and up to date: one more failure may stop the stream", "see that every nats-server runs; a copy that catches up is current again by itself"},
	{"stream_discard", "somebody changed the stream: it throws reports away", "restart a gateway, which sets it right, or set discard new, retention limits and no max_age by hand"},
	{"stream_full", "the stream has little or no room left: the door answers 503 when it has none", "see which destination is down; or raise spool.max_size and the servers' max_file_store"},
	{"stream_quorum", "the servers cannot agree: nothing can be stored, and the door answers 503", "bring back a majority of the servers; see their logs and the network between them"},
	{"stream_missing", "the stream, or the consumer of an upstream, does not exist yet", "normal before the first start; else see that the gateways use the same spool.jetstream.stream and know the upstream"},
	{"redis_unreachable", "Redis does not answer: each gateway limits alone", "see that it runs; correct limits.redis.url"},
	{"redis_slow", "Redis takes long to answer: requests wait for it, and beyond limits.redis.timeout each gateway limits alone", "put Redis near the gateways; raise limits.redis.timeout only if clients may wait"},
	// Gateway.
	{"gateway_down", "nothing listens: the gateway does not run", "start it: breakwater --config …"},
	{"port_taken", "another program has the address, so the gateway cannot", "stop it, or change the address"},
	{"gateway_not_ready", "the gateway runs and does not take requests", "it is starting or shutting down; its log says which"},
	{"token_refused", "the private listener wants another token", "set server.admin_token, here and there the same"},
	{"public_unreachable", "clients cannot reach the gateway at this address", "check the name, the firewall and the proxy; --url says where clients go"},
	// TLS.
	{"certificate_expired", "the certificate is no longer valid: browsers refuse to connect", "renew it, then reload the gateway or the proxy"},
	{"certificate_expires", "the certificate ends soon", "renew it, then reload the gateway or the proxy"},
	{"certificate_name", "the certificate is for another name", "get one for the name in the DSN"},
	{"certificate_chain", "the chain does not lead to an authority this machine trusts", "put the intermediate certificates behind the certificate in one file; for a private authority give --ca-file"},
	// Between clients and the door.
	{"proxy_redirects", "the proxy redirects: SDKs lose the report, for a POST is not sent again", "use the address it redirects to (https) in the DSN"},
	{"proxy_route", "the proxy answers by itself: the request never reached the gateway", "pass /api/ and the tunnel's path on to the gateway"},
	{"proxy_preflight", "the proxy answers preflights by itself, and not as browsers need it", "pass OPTIONS on to the gateway"},
	{"proxy_cors", "CORS headers that the gateway sent are gone: browsers hide the answer, and SDKs send again and again", "let the proxy pass Access-Control-* headers of the gateway, on errors too"},
	{"proxy_limit_headers", "X-Sentry-Rate-Limits or Retry-After that the gateway sent are gone: SDKs do not slow down", "let the proxy pass these headers (nginx: no proxy_hide_header)"},
	{"proxy_auth_header", "X-Sentry-Auth does not reach the gateway: clients that send the key there get 401", "let the proxy pass request headers (nginx: proxy_pass_request_headers on, underscores or not)"},
	{"proxy_body_limit", "the proxy refuses bodies that the gateway would take: replays and attachments are lost", "raise its limit to limits.request_size (nginx: client_max_body_size)"},
	{"proxy_body_changed", "the body that arrived is not the one that was sent", "let the proxy pass bodies as bytes: no decoding, no charset, no buffering script"},
	{"proxy_encoding", "a gzip body does not come through as it was sent", "let the proxy pass Content-Encoding of requests, and not unpack bodies"},
	{"tunnel_rewritten", "the tunnel's path arrives as another one", "let the proxy keep the path (nginx: proxy_pass without a path), or set server.tunnel_path to what arrives"},
	{"proxy_untrusted", "the gateway takes the proxy for the client: all people share one address and its limit", "name the proxy's network in server.trusted_proxies"},
	{"proxy_no_address", "the proxy does not say who its client is: all people share one address and its limit", "let it send X-Forwarded-For (nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for)"},
	{"origin_refused", "the project does not take reports from this page", "add it to the project's allowed_origins"},
	{"request_refused", "the gateway refused a report as a stock SDK sends it", "its answer says why"},
	{"request_limited", "the gateway limits what doctor sends: the address, the key or the quota is used up", "see the console's limits; raise them if people are meant to send that much"},
	// Upstreams.
	{"upstream_held", "the upstream has no DSN: reports are held in the spool", "set its dsn, or SENTRY_DSN"},
	{"upstream_dns", "the upstream's name has no address", "correct the host in its dsn, or this machine's resolver"},
	{"upstream_refused", "nothing listens at the upstream's address", "correct host and port in its dsn; see that it runs"},
	{"upstream_timeout", "the upstream does not answer in time", "look at the firewall, the upstream's load, and the upstream's timeout"},
	{"upstream_certificate", "the upstream's certificate is not to be trusted", "renew it, or install its authority on this machine"},
	{"upstream_key", "the upstream does not know the key", "copy the DSN again from the project's settings (Client Keys)"},
	{"upstream_closed", "the upstream knows the project and takes nothing for it: it is disabled, closed or deleted", "open the project, or point the upstream at another"},
	{"upstream_project", "the upstream refuses the project or the key: one of them is wrong, or disabled", "copy the DSN again from the project's settings (Client Keys), and see that project and key are enabled"},
	{"upstream_region", "the project lives in another region of Sentry", "use the host of that region in the DSN"},
	{"upstream_redirect", "the upstream redirects, and redirects are not followed: reports would go where nobody configured", "put the address it names in the dsn"},
	{"upstream_limited", "the upstream limits the project: its quota or rate is used up", "wait, raise the quota there, or sample and filter here"},
	{"upstream_failing", "the upstream fails", "look at its own health; reports wait in the spool meanwhile"},
	{"upstream_rejects", "the upstream refuses a good event", "its answer says why; is it a Sentry-compatible server?"},
	{"upstream_not_found", "there is no ingest at this address", "correct host and path in the dsn: a server under a path needs it there"},
	{"upstream_loop", "the upstream is this gateway itself: reports would go in circles", "point its dsn at your Sentry"},
	{"spool_stuck", "the event is in the spool and was not delivered in time", "see the destination in the console: paused, circuit open, or a long queue before it"},
	{"delivery_failed", "the event was accepted and could not be delivered", "see the destination in the console, and the upstream's result above"},
	// Vitals, Prometheus, alerts, logs.
	{"vitals_not_counted", "a beacon was accepted and is not in /metrics", "this is a fault of the gateway: please report it"},
	{"metrics_unreachable", "/metrics does not answer", "see that the private listener can be reached"},
	{"prometheus_unreachable", "Prometheus does not answer", "correct --prometheus; see that it runs"},
	{"prometheus_not_scraping", "Prometheus has no target that is this gateway", "add a scrape_config with the private listener's address"},
	{"prometheus_scrape_fails", "Prometheus cannot scrape the gateway", "make the private listener reachable from Prometheus; its /metrics needs no token"},
	{"prometheus_stale", "Prometheus scrapes the gateway and does not have the newest value", "look at the scrape interval and at Prometheus's log"},
	{"prometheus_native_only", "Prometheus keeps native histograms only: the bounds of these are not the thresholds, and shares become estimates", "set always_scrape_classic_histograms: true beside scrape_native_histograms"},
	{"prometheus_le", "a loaded rule names a bucket as le=\"4\"; Prometheus 3 writes le=\"4.0\", so it finds nothing", "use web_vitals_ratings_total, or le=~\"4(\\\\.0)?\""},
	{"prometheus_query_fails", "the query of a panel or rule is an error to this Prometheus", "use the dashboards and rules of this gateway's version: breakwater dashboards export"},
	{"query_empty", "a panel or rule finds no data", "normal where nothing of the kind was sent yet; else look at its metric"},
	{"rules_missing", "Prometheus has not loaded rules of the gateway: there are no alerts", "breakwater dashboards export DIR, and name the rules file in rule_files"},
	{"rules_old", "Prometheus has other rules than this version's", "breakwater dashboards export DIR again, and reload Prometheus"},
	{"rules_failing", "a rule of the gateway fails in Prometheus", "the detail is Prometheus's own word for it"},
	{"prometheus_no_alertmanager", "Prometheus sends its alerts to nobody", "name the Alertmanager in alerting.alertmanagers of Prometheus"},
	{"alertmanager_unreachable", "Alertmanager does not answer", "correct --alertmanager; see that it runs"},
	{"alert_lost", "Alertmanager took an alert and does not show it", "look at its log and its silences"},
	{"log_unreachable", "a log output cannot be reached: its lines are lost", "correct its address or path; see that the server runs"},
}

func known(name string) Known {
	for _, k := range Faults {
		if k.Name == name {
			return k
		}
	}
	return Known{Name: name}
}
