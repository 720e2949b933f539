package scrub

// structure names what a node is, for the $types of selectors.
type structure uint8

const (
	inUser structure = iota + 1
	inRequest
	inException
	inFrame
	inStack
	inThread
	inBreadcrumb
	inSpan
	inLog
	inLogentry
	inContext
	inSDK
	inMetric
	inSession
	inReplay
)

// special is what a node does besides its flags.
type special uint8

const (
	plain       special = iota
	keptScalar          // kept while it is a plain value; objects and lists are free
	keptAll             // kept with all that is below
	knownIP             // an address whatever it holds; {{auto}} is settled here
	inferIP             // sdk.settings.infer_ip, ingest_settings.infer_ip
	queryString         // a query without its question mark
	cookieJar           // cookies as string, object or pairs
	cookieAll           // all cookies in one attribute
	bodyText            // a request or response body: JSON, form or text
	attributes          // {"key": {"value": …, "type": …}}
	metaTree            // _meta
	metaLeaf            // the "" of _meta
	styledText          // text of a replay's page, unless it is a style sheet
)

// node is a place in a payload: what its value gets, and what is below it.
type node struct {
	flags flags
	does  special
	typ   structure
	// fold: keys below are looked up in any case (HTTP headers).
	fold bool
	// pairs: entries of a list are [key, value] pairs of this node's own.
	pairs bool
	kids  map[string]*node
	// index has the kids by the length of their names: every key of every payload
	// is looked up, and comparing with the few of its length takes half of what
	// hashing it does.
	index [][]kid
	// rest is for keys not in kids, elem for list entries; nil means free.
	rest, elem *node
}

const (
	freeFlags  = fSub | fWhole | fKey | fFields | fPath
	textFlags  = fSub | fReplace | fAssign | fHome | fFields | fEmbed
	routeFlags = fSub | fFields
)

var (
	free      = &node{flags: freeFlags}
	text      = &node{flags: textFlags}
	route     = &node{flags: routeFlags}
	typed     = &node{flags: routeFlags}
	kept      = &node{does: keptScalar}
	deep      = &node{does: keptAll}
	address   = &node{flags: freeFlags, does: knownIP}
	agent     = &node{flags: fSub | fFields | fNoIP}
	version   = &node{flags: fSub | fFields | fNoIP}
	query     = &node{flags: freeFlags, does: queryString, pairs: true}
	jar       = &node{flags: freeFlags, does: cookieJar, pairs: true}
	allJar    = &node{flags: freeFlags, does: cookieAll}
	body      = &node{flags: freeFlags | fEmbed, does: bodyText}
	code      = &node{flags: fSub}
	infer     = &node{does: inferIP}
	codeLines = &node{flags: fSub, elem: code}
	fileName  = &node{flags: fSub | fFields | fPath}
)

type kids = map[string]*node

type kid struct {
	head uint64 // of the name; see headOf
	name string
	node *node
}

// buildIndex makes the index of n and of all that is below.
func (n *node) buildIndex() {
	if n == nil || n.index != nil {
		return
	}
	n.index = [][]kid{nil}
	for name, child := range n.kids {
		for len(n.index) <= len(name) {
			n.index = append(n.index, nil)
		}
		n.index[len(name)] = append(n.index[len(name)], kid{headOf([]byte(name)), name, child})
	}
	for _, child := range n.kids {
		child.buildIndex()
	}
	n.rest.buildIndex()
	n.elem.buildIndex()
}

// with makes a table of one node for many keys.
func with(n *node, keys ...string) kids {
	m := kids{}
	for _, k := range keys {
		m[k] = n
	}
	return m
}

func join(tables ...kids) kids {
	m := kids{}
	for _, t := range tables {
		for k, n := range t {
			m[k] = n
		}
	}
	return m
}

// listed is for structures that come as {"values": […]}, as a bare list or as
// a single object.
func listed(n *node) *node {
	n.kids["values"] = n
	n.elem = n
	return n
}

var (
	ids = with(kept, "event_id", "trace_id", "span_id", "parent_span_id", "segment_id", "replay_id", "profile_id", "profiler_id",
		"timestamp", "start_timestamp", "end_timestamp", "received", "type", "op", "origin", "status", "platform", "level",
		"release", "dist", "environment", "is_segment", "same_process_as_parent", "exclusive_time")

	frame = &node{flags: freeFlags, typ: inFrame, kids: join(
		with(kept, "filename", "abs_path", "function", "raw_function", "symbol", "module", "package", "lineno", "colno", "in_app",
			"platform", "instruction_addr", "addr_mode", "symbol_addr", "image_addr", "function_id", "trust", "lang", "stack_start"),
		kids{
			"context_line": code, "pre_context": codeLines, "post_context": codeLines, "module_metadata": typed,
			"data": {flags: freeFlags, kids: with(kept, "sourcemap", "orig_function", "orig_filename", "orig_lineno", "orig_colno", "orig_in_app", "symbolicator_status")},
		},
	)}
	frames = &node{flags: freeFlags, elem: frame}
	stack  = &node{flags: freeFlags, typ: inStack, kids: kids{
		"frames": frames, "registers": deep, "lang": kept, "instruction_addr_adjustment": kept, "snapshot": kept,
	}}

	mechanism = &node{flags: freeFlags, kids: join(
		with(kept, "type", "synthetic", "handled", "source", "exception_id", "parent_id", "is_exception_group"), kids{"meta": deep})}
	exception = listed(&node{flags: freeFlags, typ: inException, kids: kids{
		"type": kept, "value": kept, "module": kept, "thread_id": kept, "mechanism": mechanism,
		"stacktrace": stack, "raw_stacktrace": stack, "sentry.interfaces.Stacktrace": stack,
	}})
	thread = listed(&node{flags: freeFlags, typ: inThread, kids: kids{
		"id": kept, "name": typed, "state": kept, "stacktrace": stack, "raw_stacktrace": stack,
	}})

	logentry = &node{flags: textFlags | fKey, typ: inLogentry, kids: kids{"message": text, "formatted": text}}
	user     = &node{flags: freeFlags, typ: inUser, kids: kids{"ip_address": address}}
	headers  = &node{flags: freeFlags, fold: true, pairs: true, kids: kids{"user-agent": kept, "cookie": jar, "set-cookie": jar}}
	request  = &node{flags: freeFlags, typ: inRequest, kids: kids{
		"url": route, "method": kept, "query_string": query, "fragment": query, "cookies": jar, "headers": headers, "data": body,
		"env": {flags: freeFlags, fold: true, kids: kids{"remote_addr": address, "http_cookie": jar}}, "inferred_content_type": kept, "api_target": kept,
	}}
	breadcrumb = listed(&node{flags: freeFlags, typ: inBreadcrumb, kids: kids{
		"type": kept, "category": typed, "level": kept, "timestamp": kept, "event_id": kept,
	}})

	sdk = &node{does: keptScalar, typ: inSDK, rest: deep, kids: kids{"client_ip": address, "settings": settings}}

	settings = &node{does: keptScalar, rest: kept, kids: kids{"infer_ip": infer}}

	contexts = &node{flags: freeFlags, typ: inContext, kids: kids{
		"trace": traceContext, "replay": replayContext, "profile": replayContext,
		"os": device, "device": device, "app": device, "browser": device, "runtime": device, "gpu": device, "culture": device,
		"client_os": device, "react": device,
		"response": {flags: freeFlags, kids: kids{"cookies": jar, "headers": headers, "data": body}},
		"feedback": {flags: freeFlags, kids: kids{"message": text, "url": route, "source": kept, "replay_id": kept, "associated_event_id": kept}},
		"flags":    {flags: freeFlags, kids: kids{"values": {flags: freeFlags, elem: &node{flags: freeFlags, kids: kids{"flag": typed}}}}},
	}}
	replayContext = &node{flags: freeFlags, kids: with(kept, "replay_id", "profile_id", "profiler_id", "type")}
	traceContext  = &node{flags: freeFlags, kids: join(ids, kids{"data": spanData})}

	// device are the contexts SDKs fill in; what they add beside is free, a
	// device's own name ("Jane's phone") too.
	device = &node{flags: freeFlags, kids: join(
		with(typed, "type", "family", "model", "model_id", "arch", "brand", "manufacturer", "class", "chipset", "cpu_description",
			"title", "locale", "timezone", "calendar", "app_identifier", "app_name", "build_type", "vendor_name", "vendor_id",
			"orientation", "connection_type", "screen_resolution", "screen_density", "kernel_name", "distribution_name"),
		with(version, "version", "raw_description", "kernel_version", "build", "app_version", "app_build", "distribution_version"),
		with(kept, "app_start_time", "boot_time", "app_id", "device_app_hash"))}
)
