package console

import (
	"fmt"
	"slices"
	"time"

	"breakwater/relay"
	"breakwater/schemas"
)

// Severity orders what the overview finds.
type Severity string

// The severities, the worst first.
const (
	Broken  Severity = "broken"  // reports are lost, refused or stuck
	Warn    Severity = "warning" // somebody should look
	Notable Severity = "note"    // worth knowing
)

// Finding is one thing that is not as it should be, and what to do about it.
type Finding struct {
	Severity Severity
	What     string
	// Detail is one more sentence.
	Detail string
	// Press is what to do: the words of a link and where it leads.
	Press, Href string
	// Help is the alert whose runbook tells more, "" without one.
	Help string
}

// The bounds from which on something is found. The alerts have their own.
const (
	oldAge         = 15 * time.Minute
	nearFull       = 0.8
	soonFull       = 24 * time.Hour
	quotaNear      = 0.9
	minSessions    = 100
	crashFreeFloor = 0.99
	minSamples     = 200
	goodShare      = 0.75
)

// overview is the page for 3 a.m.
type overview struct {
	Findings     []Finding
	Spool        SpoolState
	Books        Books
	Destinations []Destination
	Errors       []Group
	Releases     []Release
	Vitals       []Vital
	Depth        int64
	// Waiting is how many items wait: each once, or, in a spool that several
	// gateways share, once for each destination.
	Waiting float64
}

// Worst is the severity of the whole: "" when all is well.
func (o overview) Worst() Severity {
	for _, s := range []Severity{Broken, Warn} {
		if slices.ContainsFunc(o.Findings, func(f Finding) bool { return f.Severity == s }) {
			return s
		}
	}
	return ""
}

func (s *server) overview() overview {
	o := overview{
		Spool: s.src.spool(), Books: s.src.books(""), Destinations: s.src.destinations(),
		Errors: s.src.groups("", "recent", 5), Releases: s.src.releases(""), Vitals: s.src.vitals(""),
	}
	o.Waiting = o.Books.InSpool
	if s.o.Shared {
		o.Waiting = s.src.waiting()
	}
	for _, d := range o.Destinations {
		o.Depth += d.Depth
	}
	now := s.o.Now()
	if err := s.o.Ready(); err != nil {
		o.find(Finding{Severity: Broken, What: "The gateway takes no requests", Detail: "It says: " + err.Error() + "."})
	}
	o.findSpool()
	for _, d := range o.Destinations {
		o.findDestination(d, now)
	}
	o.findLedger()
	o.findErrors(s.src.groups("", "new", maxGroups), now)
	o.findReleases()
	o.findLimits(s)
	for i := range o.Findings {
		if s.helpPage(o.Findings[i].Help) == nil {
			o.Findings[i].Help = ""
		}
	}
	slices.SortStableFunc(o.Findings, func(a, b Finding) int { return rank(a.Severity) - rank(b.Severity) })
	if len(o.Releases) > 6 {
		o.Releases = o.Releases[:6]
	}
	return o
}

func rank(s Severity) int {
	switch s {
	case Broken:
		return 0
	case Warn:
		return 1
	}
	return 2
}

func (o *overview) find(f Finding) { o.Findings = append(o.Findings, f) }

func (o *overview) findSpool() {
	sp := o.Spool
	switch left := sp.TimeToFull; {
	case left != nil && *left == 0:
		o.find(Finding{Severity: Broken, What: "The spool is full", Detail: "Clients are answered 503 and try again later; the SDKs drop what does not fit their own queue.", Press: "See what fills it", Href: "/spool", Help: "BreakwaterSpoolFilling"})
	case left != nil && *left < soonFull.Seconds() && sp.Part() > 0.05:
		o.find(Finding{Severity: severe(*left < 2*3600), What: "The spool is full in " + seconds(*left), Detail: "At the growth of the last quarter of an hour, " + size(sp.Growth) + "/s.", Press: "See what fills it", Href: "/spool", Help: "BreakwaterSpoolFilling"})
	case sp.Part() >= nearFull:
		o.find(Finding{Severity: Warn, What: "The spool is " + percent(sp.Part()) + " full", Press: "See what fills it", Href: "/spool", Help: "BreakwaterSpoolAlmostFull"})
	}
	if sp.Damaged > 0 {
		o.find(Finding{Severity: Warn, What: plural(sp.Damaged, "damaged record") + " set aside", Detail: "Since the first start; they lie in the spool's folder damaged. Suspect the disk when it grows.", Press: "See the spool", Href: "/spool"})
	}
}

func severe(yes bool) Severity {
	if yes {
		return Broken
	}
	return Warn
}

func (o *overview) findDestination(d Destination, now time.Time) {
	href := "/destinations#" + d.ID()
	waits := waiting(d.Depth)
	switch {
	case d.Alert != "":
		o.find(Finding{Severity: Broken, What: d.ID() + " refuses what it is sent: " + d.Alert, Detail: "Only a person can repair this: check the DSN and the upstream's settings. " + waits, Press: "See its last answer", Href: href, Help: "BreakwaterUpstreamRefusing"})
	case d.Paused:
		o.find(Finding{Severity: Warn, What: d.ID() + " is paused by hand", Detail: waits, Press: "Resume it", Href: "/act/resume?project=" + query(d.Project) + "&destination=" + query(d.Name)})
	case d.State == relay.Open || d.State == relay.HalfOpen:
		what := d.ID() + " is down"
		if !d.DownSince.IsZero() {
			what += " for " + span(now.Sub(d.DownSince))
		}
		detail := "Last answer: " + lastWords(d) + ". " + waits + " Nothing is lost: they are delivered when it is back."
		if d.NextRetry.After(now) {
			detail += " Next try in " + span(d.NextRetry.Sub(now)) + "."
		}
		o.find(Finding{Severity: Broken, What: what, Detail: detail, Press: "See the destination", Href: href, Help: "BreakwaterUpstreamDown"})
	case d.State == relay.NoTarget:
		o.find(Finding{Severity: Notable, What: d.ID() + " has no DSN: its reports are held", Detail: waits + " They leave as soon as SENTRY_DSN or the upstream's dsn is set.", Press: "See the configuration", Href: "/config"})
	case d.OldestAge > oldAge.Seconds():
		o.find(Finding{Severity: Warn, What: d.ID() + " is " + seconds(d.OldestAge) + " behind", Detail: waits + " The upstream is slow or limits us.", Press: "See the destination", Href: href, Help: "BreakwaterOldestItemTooOld"})
	}
	if d.Dead > 0 {
		o.find(Finding{Severity: Warn, What: plural(d.Dead, "dead letter") + " of " + d.ID(), Detail: "The upstream refused them for good. Repair what it complains of, then retry; or drop them.", Press: "Look at them", Href: "/dead-letters?project=" + query(d.Project) + "&destination=" + query(d.Name)})
	}
}

func waiting(n int64) string {
	switch n {
	case 0:
		return "Nothing waits."
	case 1:
		return "1 record waits."
	}
	return number(n) + " records wait."
}

// lastWords is a destination's last answer in a few words.
func lastWords(d Destination) string {
	switch {
	case d.Last == "":
		return "none yet"
	case d.LastStatus > 0:
		return fmt.Sprintf("%s (HTTP %d)", d.Last, d.LastStatus)
	}
	return d.Last
}

func (o *overview) findLedger() {
	if n := o.Books.Unaccounted; n != 0 {
		o.find(Finding{Severity: Broken, What: plural(n, "item") + " not accounted for", Detail: "Received and ended plus waiting differ. This is a fault of the gateway: report it.", Press: "See the ledger", Href: "/ledger", Help: "BreakwaterLedgerNotZero"})
	}
	if n := o.Books.Sum(schemas.Expired, ""); n > 0 {
		o.find(Finding{Severity: Warn, What: plural(n, "item") + " expired undelivered", Detail: "They were older than spool.max_age. Since the start.", Press: "See the ledger", Href: "/ledger"})
	}
}

func (o *overview) findErrors(newest []Group, now time.Time) {
	for _, g := range o.Errors {
		since := ""
		if g.FirstRelease != "" {
			since = ", since release " + Visible(g.FirstRelease, 60)
		}
		href := "/errors/" + query(g.Project) + "/" + g.Fingerprint
		title := Visible(g.Title, 80)
		if title == "" {
			title = "an error without a message"
		}
		if g.Storming {
			o.find(Finding{Severity: Warn, What: "Storm in " + g.Project + ": " + title, Detail: number(g.Recent) + " in this window" + since + "; what repeats is thinned out, " + number(g.Suppressed) + " suppressed so far.", Press: "See the error", Href: href})
		}
	}
	fresh := 0
	for _, g := range newest {
		if now.Sub(g.FirstSeen) < time.Hour {
			fresh++
		}
	}
	if fresh > 0 {
		o.find(Finding{Severity: Notable, What: plural(fresh, "error") + " seen for the first time in the last hour", Press: "See the newest", Href: "/errors?order=new"})
	}
}

func (o *overview) findReleases() {
	seen := map[string]bool{}
	for _, r := range o.Releases {
		place := r.Project + "\x00" + r.Environment
		if seen[place] || r.Release == "__other__" || r.Sessions < minSessions || r.CrashFreeSessions == nil {
			continue
		}
		seen[place] = true // the newest with enough sessions
		if *r.CrashFreeSessions < crashFreeFloor {
			o.find(Finding{Severity: Broken, What: "Release " + Visible(r.Release, 60) + " of " + r.Project + " crashes", Detail: percent(*r.CrashFreeSessions) + " of " + number(r.Sessions) + " sessions were free of crashes in the last day (" + Visible(r.Environment, 40) + "). Consider to roll it back.", Press: "Compare releases", Href: "/releases", Help: "BreakwaterCrashFreeBurnFast"})
		}
	}
}

func (o *overview) findLimits(s *server) {
	for _, q := range s.quotas() {
		if q.Limit > 0 && float64(q.Used) >= quotaNear*float64(q.Limit) {
			o.find(Finding{Severity: severe(q.Used >= q.Limit), What: fmt.Sprintf("%s has used %s of its quota of %ss", q.Project, percent(float64(q.Used)/float64(q.Limit)), q.Category), Detail: "It begins anew in " + span(q.Resets.Sub(s.o.Now())) + ".", Press: "See the limits", Href: "/limits"})
		}
	}
	if n := len(s.limited()); n > 0 {
		o.find(Finding{Severity: Notable, What: "Limited in the last five minutes: " + plural(n, "client, key or category", "clients, keys or categories"), Press: "See who and why", Href: "/limits"})
	}
	for _, v := range o.Vitals {
		if v.Samples >= minSamples && v.ShareGood != nil && *v.ShareGood < goodShare {
			o.find(Finding{Severity: Notable, What: fmt.Sprintf("%s of %s fails on %s", v.Vital, v.Project, v.Device), Detail: percent(*v.ShareGood) + " of " + number(v.Samples) + " page views of the last day were good; 75 % should be.", Press: "See the vitals", Href: "/vitals"})
		}
	}
	o.findConfig(s)
}

// findConfig counts the warnings: they are about what somebody chose.
func (o *overview) findConfig(s *server) {
	if n := len(s.config().Warnings); n > 0 {
		o.find(Finding{Severity: Notable, What: plural(n, "warning") + " about the configuration", Press: "See the configuration", Href: "/config"})
	}
}
