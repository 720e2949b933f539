package monitoring

import (
	"fmt"
	"slices"
	"strings"
)

// metric is a family of the gateway that dashboards ask for. The tests hold
// this list against what the gateway really has: name, kind, labels.
type metric struct {
	name, kind string
	// native tells that a histogram has native buckets, too.
	native bool
	labels []string
}

func counter(name string, labels ...string) metric {
	return metric{name: name, kind: "counter", labels: labels}
}

func gauge(name string, labels ...string) metric {
	return metric{name: name, kind: "gauge", labels: labels}
}

func histogram(name string, labels ...string) metric {
	return metric{name: name, kind: "histogram", labels: labels}
}

func both(name string, labels ...string) metric {
	return metric{name: name, kind: "histogram", native: true, labels: labels}
}

var (
	webLabels    = []string{"project", "environment", "route", "device"}
	mobileLabels = []string{"project", "environment", "route", "os"}

	ratings          = counter("web_vitals_ratings_total", append(slices.Clone(webLabels), "vital", "rating")...)
	navigations      = counter("web_vitals_navigations_total", "project", "vital", "navigation_type", "rating")
	vitalReleases    = counter("web_vitals_releases_total", "project", "release", "vital", "rating")
	vitalsRejected   = counter("web_vitals_rejected_total", "project", "vital", "reason")
	vitalsLate       = counter("web_vitals_late_updates_total", "project", "vital")
	vitalsFolded     = counter("web_vitals_folded_total", "project")
	vitalsTraffic    = counter("web_vitals_traffic_total", "project", "traffic")
	vitalsBiased     = gauge("web_vitals_biased", "project")
	vitalsPending    = gauge("web_vitals_pending")
	labelSets        = gauge("web_vitals_label_sets", "project")
	labelSetsLimit   = gauge("web_vitals_label_sets_limit")
	settledEarly     = counter("web_vitals_settled_early_total")
	lcp              = both("web_vitals_lcp_seconds", webLabels...)
	inp              = both("web_vitals_inp_seconds", webLabels...)
	cls              = both("web_vitals_cls", webLabels...)
	fcp              = both("web_vitals_fcp_seconds", webLabels...)
	ttfb             = both("web_vitals_ttfb_seconds", webLabels...)
	appStart         = both("mobile_app_start_seconds", "project", "environment", "type", "os")
	ttid             = both("mobile_ttid_seconds", mobileLabels...)
	ttfd             = both("mobile_ttfd_seconds", mobileLabels...)
	stallLongest     = both("mobile_stall_longest_seconds", mobileLabels...)
	frames           = counter("mobile_frames_total", append(slices.Clone(mobileLabels), "kind")...)
	stalls           = counter("mobile_stalls_total", mobileLabels...)
	sessions         = counter("release_sessions_total", "project", "environment", "release", "status")
	sessionsIgnored  = counter("release_sessions_ignored_total", "project", "reason")
	releaseErrors    = counter("release_errors_total", "project", "environment", "release", "level", "handled")
	users            = gauge("release_users_estimate", "project", "environment", "release")
	crashedUsers     = gauge("release_crashed_users_estimate", "project", "environment", "release")
	firstSeen        = gauge("release_first_seen_timestamp_seconds", "project", "release")
	itemsReceived    = counter("breakwater_items_received_total", "project", "category")
	itemsOutcome     = counter("breakwater_items_outcome_total", "project", "category", "outcome", "reason")
	itemsInSpool     = gauge("breakwater_items_in_spool", "project", "category")
	clientDiscarded  = counter("breakwater_client_discarded_total", "project", "category", "reason")
	stormSuppressed  = counter("breakwater_storm_suppressed_total", "project")
	stormSummaries   = counter("breakwater_storm_summaries_total", "project")
	stormPrints      = gauge("breakwater_storm_fingerprints", "project")
	scrubbed         = counter("breakwater_scrubbed_total", "project", "rule")
	httpRequests     = counter("breakwater_http_requests_total", "endpoint", "method", "code")
	httpDuration     = both("breakwater_http_request_duration_seconds", "endpoint")
	httpInFlight     = gauge("breakwater_http_requests_in_flight")
	httpConnections  = gauge("breakwater_http_connections")
	httpBodyBytes    = gauge("breakwater_http_body_bytes")
	httpPanics       = counter("breakwater_http_panics_total")
	limitKeys        = gauge("breakwater_limit_keys")
	limitEvictions   = counter("breakwater_limit_evictions_total")
	logLines         = counter("breakwater_log_lines_total", "output")
	limitsBy         = counter("breakwater_limits_decisions_total", "by")
	redisUp          = gauge("breakwater_limits_redis_up")
	spoolInfo        = gauge("breakwater_spool_info", "engine", "spool")
	spoolItems       = gauge("breakwater_spool_items", "project", "destination")
	spoolBytes       = gauge("breakwater_spool_bytes", "project", "destination")
	spoolOldest      = gauge("breakwater_spool_oldest_age_seconds", "project", "destination")
	spoolCapacity    = gauge("breakwater_spool_capacity_bytes")
	spoolUsed        = gauge("breakwater_spool_used_bytes")
	spoolFree        = gauge("breakwater_spool_free_bytes")
	spoolDamaged     = counter("breakwater_spool_damaged_records_total")
	spoolEvicted     = counter("breakwater_spool_dead_letters_evicted_total")
	spoolAppend      = histogram("breakwater_spool_append_duration_seconds")
	spoolFsync       = histogram("breakwater_spool_fsync_duration_seconds")
	relayAttempts    = counter("breakwater_relay_attempts_total", "destination", "result")
	relayDuration    = histogram("breakwater_relay_duration_seconds", "destination")
	relayLatency     = histogram("breakwater_relay_delivery_latency_seconds", "destination")
	relayState       = gauge("breakwater_relay_circuit_state", "destination", "state")
	relayPaused      = gauge("breakwater_relay_paused", "destination")
	relayInFlight    = gauge("breakwater_relay_in_flight", "destination")
	relayLimited     = gauge("breakwater_relay_upstream_limited_until_seconds", "destination", "category")
	deadLetters      = gauge("breakwater_relay_dead_letters", "destination")
	reloadSuccess    = gauge("breakwater_config_reload_success")
	reloadTime       = gauge("breakwater_config_reload_timestamp_seconds")
	configHash       = gauge("breakwater_config_hash_info", "hash")
	buildInfo        = gauge("breakwater_build_info", "version")
	canarySuccess    = gauge("breakwater_canary_last_success_timestamp_seconds", "path")
	up               = gauge("up", "job", "instance")
	processCPU       = counter("process_cpu_seconds_total")
	processMemory    = gauge("process_resident_memory_bytes")
	processOpenFiles = gauge("process_open_fds")
	processMaxFiles  = gauge("process_max_fds")
	goroutines       = gauge("go_goroutines")
)

// scope is how a dashboard's variables narrow a metric, by its labels.
// Destinations are named project/name by the relay.
func (m metric) scope() []string {
	var list []string
	for _, l := range []string{"project", "environment", "release", "device", "route", "os"} {
		if m.has(l) {
			list = append(list, fmt.Sprintf(`%s=~"$%s"`, l, l))
		}
	}
	if m.has("destination") && !m.has("project") {
		list = append(list, `destination=~"($project)/.+"`)
	}
	if m.name == "up" {
		list = append(list, `job="breakwater"`)
	}
	return list
}

func (m metric) has(label string) bool { return slices.Contains(m.labels, label) }

// sel selects the metric's series under the dashboard's variables and further
// matchers. A label that the metric has not is a mistake in this package.
func (m metric) sel(matchers ...string) string { return m.series("", matchers) }

func (m metric) series(suffix string, matchers []string) string {
	for _, x := range matchers {
		if label, _, ok := strings.Cut(x, "="); !ok || !m.has(strings.TrimRight(label, "!")) {
			panic(m.name + " has no label for " + x)
		}
	}
	all := append(m.scope(), matchers...)
	if len(all) == 0 {
		return m.name + suffix
	}
	return m.name + suffix + "{" + strings.Join(all, ", ") + "}"
}

// sum adds gauges up.
func (m metric) sum(by string, matchers ...string) string { return agg("sum", by, m.sel(matchers...)) }

// max is for gauges that several gateways tell of the same thing.
func (m metric) max(by string, matchers ...string) string { return agg("max", by, m.sel(matchers...)) }

// shared adds up over spools what each gateway tells of its own: several on one
// stream tell of the same records, and the largest number counts once.
func (m metric) shared(by string) string {
	within := "spool"
	if by != "" {
		within += ", " + by
	}
	return agg("sum", by, agg("max", within, m.sel()+" * on (job, instance) group_left (spool) "+spoolInfo.sel()))
}

// rate is per second, over what fits the scrape interval and the zoom.
func (m metric) rate(by string, matchers ...string) string {
	return agg("sum", by, "rate("+m.sel(matchers...)+"[$__rate_interval])")
}

// increase counts over a window: $__range is all that the dashboard shows,
// $window is what one point of a trend looks back on.
func (m metric) increase(window, by string, matchers ...string) string {
	return agg("sum", by, "increase("+m.sel(matchers...)+"["+window+"])")
}

func agg(op, by, expr string) string {
	if by == "" {
		return op + "(" + expr + ")"
	}
	return op + " by (" + by + ") (" + expr + ")"
}

// ratio divides; the parts keep their labels.
func ratio(part, whole string) string { return part + "\n/ (" + whole + " > 0)" }

// orZero stands a zero in where part has no series yet and whole has.
func orZero(part, whole string) string { return "(" + part + "\nor 0 * " + whole + ")" }
