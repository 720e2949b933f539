package main

import (
	"fmt"
	"strings"
)

// request is one sort of load: what is sent where.
type request struct {
	name, path, contentType, body string
	few                           bool // headers
}

// kinds are what can be sent, for help texts and flags.
const kinds = "beacon,envelope,envelope-16k,storm,attachment"

const kindsHelp = `  beacon        a Web Vitals report of 300 bytes, as sendBeacon posts it
  envelope      an error as a stock browser SDK sends it, 4 KB (--size)
  envelope-16k  the same with a longer stack, 16 KB
  storm         the same error again and again, only the id in its message differs;
                storm control keeps the first ones and then one in a hundred
  attachment    an error of 4 KB with a file of 300 KiB (--attachment)`

// requestOf makes the request of a kind for a project of a gateway.
func requestOf(kind, project, key, size string, attachmentKiB int) (r request, err error) {
	r = request{name: kind, path: envelopePath(project, key), contentType: "text/plain;charset=UTF-8"}
	switch kind {
	case "beacon":
		return request{name: kind, path: "/api/" + project + "/vitals/?key=" + key, contentType: "text/plain;charset=UTF-8", body: beacon()}, nil
	case "envelope-16k":
		size = "16384"
	}
	if r.body, err = envelope(key, size); err != nil {
		return r, err
	}
	switch kind {
	case "envelope", "envelope-16k":
	case "storm":
		r.body = strings.Replace(r.body, "(reading 'unit')", "(reading 'unit') in order "+hole, 1)
	case "attachment":
		r.body = withAttachment(r.body, attachmentKiB)
	default:
		return r, fmt.Errorf("kind %q is none of %s", kind, kinds)
	}
	return r, nil
}

// ourRequest makes it for the project of newGateway's that it is for.
func ourRequest(kind, size string, attachmentKiB int) (request, error) {
	if kind == "storm" {
		return requestOf(kind, stormProject, stormKey, size, attachmentKiB)
	}
	return requestOf(kind, "1", loadKey, size, attachmentKiB)
}

// template aims a request at an address.
func (r request) template(addr string) *template {
	head := browserHead
	if r.few {
		head = fewHead
	}
	return templateOf(head, "POST", r.path, addr, r.contentType, r.body)
}

func envelopePath(project, key string) string {
	return "/api/" + project + "/envelope/?sentry_version=7&sentry_key=" + key + "&sentry_client=sentry.javascript.react%2F11.12.0"
}
