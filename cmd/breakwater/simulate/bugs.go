package simulate

import "fmt"

// bug is one mistake in the shop's code, as its error looks.
type bug struct {
	kind, value, function, file string
	line, column                int
	handled                     bool
}

// bugs are the shop's, the frequent ones first. The first one is the storm's,
// the second the one that the bad release brought.
var bugs = []bug{
	{"TypeError", "Cannot read properties of undefined (reading 'price')", "renderPrice", "product", 1, 34979, false},
	{"TypeError", "can't access property \"total\", cart is undefined", "CheckoutSummary", "checkout", 1, 12877, false},
	{"ChunkLoadError", "Loading chunk 417 failed.", "loadRoute", "router", 1, 911, false},
	{"Error", "Request failed with status code 502", "fetchOffers", "api", 1, 2204, true},
	{"RangeError", "Maximum call stack size exceeded", "flattenCategories", "category", 1, 7719, false},
	{"TypeError", "Failed to fetch", "sendOrder", "api", 1, 3311, true},
	{"ReferenceError", "dataLayer is not defined", "trackView", "analytics", 1, 188, true},
	{"SyntaxError", "Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON", "parseSettings", "settings", 1, 402, true},
	{"NotFoundError", "Failed to execute 'removeChild' on 'Node': The node to be removed is not a child of this node.", "commitDeletion", "vendor", 8, 139851, false},
	{"AbortError", "The user aborted a request.", "searchAsYouType", "search", 1, 640, true},
	{"QuotaExceededError", "Failed to execute 'setItem' on 'Storage': Setting the value of 'cart' exceeded the quota.", "saveCart", "cart", 1, 1502, true},
	{"Error", "Invariant failed: the date has no time zone", "formatDelivery", "delivery", 1, 777, false},
	{"TypeError", "undefined is not an object (evaluating 'e.items.length')", "OrderList", "orders", 1, 5120, false},
	{"SecurityError", "The operation is insecure.", "openPaymentWindow", "payment", 1, 88, true},
	{"Error", "Hydration failed because the server rendered HTML didn't match the client.", "throwOnHydrationMismatch", "vendor", 9, 42354, true},
	{"TypeError", "Illegal invocation", "observeImages", "gallery", 1, 2093, false},
	{"DataCloneError", "Failed to execute 'structuredClone' on 'Window': function could not be cloned.", "snapshot", "cart", 1, 3881, true},
	{"URIError", "URI malformed", "readCampaign", "campaign", 1, 61, true},
	{"InvalidStateError", "Failed to start the audio device", "playChime", "notify", 1, 904, true},
	{"Error", "Voucher service answered twice", "applyVoucher", "voucher", 1, 1310, true},
	{"TypeError", "r is not a function", "useMeasure", "hooks", 1, 266, false},
	{"EvalError", "Refused to evaluate a string as JavaScript", "compileTemplate", "banner", 1, 71, true},
	{"Error", "Inventory feed closed (1006)", "onSocketClose", "stock", 1, 1204, true},
	{"TimeoutError", "Signal timed out.", "fetchReviews", "api", 1, 4410, true},
}

func (g *generator) bug() bug { return bugs[g.zipf(len(bugs))] }

// frames appends a stack whose last frame is the bug's own line.
func (b bug) frames(dst []byte, page string) []byte {
	frame := func(file, function string, line, column int) {
		dst = fmt.Appendf(dst, `{"filename":"https://shop.example/assets/%s-C0kjCbJC.js","function":%q,"in_app":true,"lineno":%d,"colno":%d},`, file, function, line, column)
	}
	for i, f := range []string{"r", "_h", "yh", "Kf", "Ln", "?", "Vf"} {
		frame("vendor", f, 8+i%2, 42354+977*i)
	}
	frame("page", page, 1, 1204)
	frame(b.file, b.function, b.line, b.column)
	return dst[:len(dst)-1]
}
