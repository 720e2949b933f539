package filter

import (
	"strings"

	"breakwater/schemas"
)

// extensionValues stand in the messages of errors that extensions and other
// injected scripts cause; compared without regard to case.
var extensionValues = []string{
	"top.globals", "originalcreatenotification", "canvas.contentdocument", "myapp_removeallhighlights", "http://tt.epicplay.com",
	"can't find variable: zitereader", "jigsaw is not defined", "combosearch is not defined", "http://loading.retry.widdit.com/",
	"atomicfindclose", "fb_xd_fragment", "bmi_safeaddonload", "ebcallbackmessagereceived", "_gcrweb", "conduitpage",
	"null is not an object (evaluating 'elt.parentnode')", "plugin.setsuspendstate is not a function",
	"extension context invalidated", "webkit-masked-url:", "can't access dead object",
}

// extensionSources stand in the URLs of such scripts, extensionSchemes at
// their beginning.
var (
	extensionSources = []string{
		"graph.facebook.com", "connect.facebook.net", "eatdifferent.com.woopra-ns.com", "static.woopra.com/js/woopra.js",
		"webkit-masked-url", "127.0.0.1:4001/isrunning", "webappstoolbarba.texthelp.com/",
		"metrics.itunes.apple.com.edgesuite.net/", "kaspersky-labs.com",
	}
	extensionSchemes = []string{
		"chrome://", "chrome-extension://", "moz-extension://", "safari-extension://", "safari-web-extension://",
	}
)

// isExtension looks at the first exception only: at its message, and at the
// innermost frame that has a place of its own.
func isExtension(exceptions []schemas.Exception) bool {
	if len(exceptions) == 0 {
		return false
	}
	ex := &exceptions[0]
	value := ex.Value
	if len(value) > maxText {
		value = value[:maxText]
	}
	if containsAny(strings.ToLower(value), extensionValues) {
		return true
	}
	for i := ex.Stack.Len() - 1; i >= 0; i-- {
		frame := ex.Stack.Frame(i)
		path := frame.AbsPath
		if path == "" {
			path = frame.Filename // browsers' SDKs send the URL there
		}
		if path == "" || path == "<anonymous>" || path == "[native code]" {
			continue
		}
		if len(path) > maxText {
			path = path[:maxText]
		}
		path = strings.ToLower(path)
		for _, scheme := range extensionSchemes {
			if strings.HasPrefix(path, scheme) {
				return true
			}
		}
		return containsAny(path, extensionSources)
	}
	return false
}

func containsAny(s string, list []string) bool {
	if s == "" {
		return false
	}
	for _, part := range list {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}
