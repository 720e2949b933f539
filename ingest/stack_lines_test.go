package ingest

import (
	"fmt"
	"testing"

	"github.com/getsentry/sentry-go"
)

// line is one line of a stack and the frame it means, written as
// "function|filename|abs_path|line:column|in_app"; "" means that it is none.
type line struct{ in, want string }

func show(f sentry.Frame) string {
	app := "app"
	if !f.InApp {
		app = "lib"
	}
	name := f.Function
	if f.Module != "" {
		name = f.Module + "#" + name
	}
	if f.InstructionAddr != "" {
		app += " " + f.InstructionAddr
	}
	return fmt.Sprintf("%s|%s|%s|%d:%d|%s", name, f.Filename, f.AbsPath, f.Lineno, f.Colno, app)
}

func testLines(t *testing.T, native bool, lines []line) {
	t.Helper()
	for _, l := range lines {
		s := ParseStack("Error: x\n"+l.in+"\n", "", native)
		got := ""
		if len(s.Frames) > 0 {
			got = show(s.Frames[len(s.Frames)-1])
		}
		if got != l.want {
			t.Errorf("%s\n got %s\nwant %s", l.in, got, l.want)
		}
	}
}

func TestV8Lines(t *testing.T) {
	testLines(t, false, []line{
		{"    at foo (https://a.example/b.js:1:2)", "foo|/b.js|https://a.example/b.js|1:2|app"},
		{"    at https://a.example/b.js:1:2", "?|/b.js|https://a.example/b.js|1:2|app"},
		{"    at https://a.example/b.js:10", "?|/b.js|https://a.example/b.js|10:0|app"},
		{"    at foo (https://a.example/b.js:10)", "foo|/b.js|https://a.example/b.js|10:0|app"},
		{"    at async foo (https://a.example/b.js:1:2)", "foo|/b.js|https://a.example/b.js|1:2|app"},
		{"    at async https://a.example/b.js:1:2", "?|/b.js|https://a.example/b.js|1:2|app"},
		{"    at async Promise.all (index 0)", "Promise.all|<anonymous>||0:0|lib"},
		{"    at async Promise.allSettled (index 12)", "Promise.allSettled|<anonymous>||0:0|lib"},
		{"    at new Foo (https://a.example/b.js:1:2)", "new Foo|/b.js|https://a.example/b.js|1:2|app"},
		{"    at new Promise (<anonymous>)", "new Promise|<anonymous>||0:0|lib"},
		{"    at Array.map (<anonymous>)", "Array.map|<anonymous>||0:0|lib"},
		{"    at Array.forEach (native)", "Array.forEach|native||0:0|lib"},
		{"    at native", "?|native||0:0|lib"},
		{"    at <anonymous>", "?|<anonymous>||0:0|lib"},
		{"    at Object.foo [as bar] (https://a.example/b.js:1:2)", "Object.foo [as bar]|/b.js|https://a.example/b.js|1:2|app"},
		{"    at Foo.<anonymous> (https://a.example/b.js:1:2)", "Foo.<anonymous>|/b.js|https://a.example/b.js|1:2|app"},
		{"    at Object.<anonymous> (https://a.example/b.js:1:2)", "Object.<anonymous>|/b.js|https://a.example/b.js|1:2|app"},
		{"    at <anonymous> (https://a.example/b.js:1:2)", "?|/b.js|https://a.example/b.js|1:2|app"},
		{"    at HTMLButtonElement.onclick (https://a.example/:12:40)", "HTMLButtonElement.onclick|/|https://a.example/|12:40|app"},
		{"    at HTMLUnknownElement.callCallback (https://a.example/node_modules/react-dom/index.js:1:2)", "HTMLUnknownElement.callCallback|/node_modules/react-dom/index.js|https://a.example/node_modules/react-dom/index.js|1:2|lib"},
		{"    at get value [as value] (https://a.example/b.js:1:2)", "get value [as value]|/b.js|https://a.example/b.js|1:2|app"},
		{"    at Foo.#private (https://a.example/b.js:1:2)", "Foo.#private|/b.js|https://a.example/b.js|1:2|app"},
		{"    at Foo.[Symbol.iterator] (https://a.example/b.js:1:2)", "Foo.[Symbol.iterator]|/b.js|https://a.example/b.js|1:2|app"},
		{"    at Object.foo (bar) (https://a.example/b.js:1:2)", "Object.foo (bar)|/b.js|https://a.example/b.js|1:2|app"},
		{"    at foo (https://a.example:8443/b.js?v=1#x:1:2)", "foo|/b.js|https://a.example:8443/b.js?v=1#x|1:2|app"},
		{"    at foo (https://cdn.example/react@18.2.0/b.js:1:2)", "foo|/react@18.2.0/b.js|https://cdn.example/react@18.2.0/b.js|1:2|app"},
		{"    at foo (https://user:pw@a.example/b.js:1:2)", "foo|/b.js|https://user:pw@a.example/b.js|1:2|app"},
		{"    at foo (https://a.example/a (b)/c.js:1:2)", "foo|/a (b)/c.js|https://a.example/a (b)/c.js|1:2|app"},
		{"    at foo (https://a.example/a%20b.js:1:2)", "foo|/a%20b.js|https://a.example/a%20b.js|1:2|app"},
		{"    at foo (http://[::1]:3000/b.js:1:2)", "foo|/b.js|http://[::1]:3000/b.js|1:2|app"},
		{"    at http://localhost:3000/:1:2", "?|/|http://localhost:3000/|1:2|app"},
		{"    at foo (https://a.example:1:2)", "foo|/|https://a.example|1:2|app"},
		{"    at foo (file:///C:/my app (x86)/b.js:1:2)", "foo|file:///C:/my app (x86)/b.js|file:///C:/my app (x86)/b.js|1:2|app"},
		{`    at foo (C:\my app\b.js:1:2)`, `foo|C:\my app\b.js|C:\my app\b.js|1:2|app`},
		{`    at C:\my app\b.js:1:2`, `?|C:\my app\b.js|C:\my app\b.js|1:2|app`},
		{"    at foo (/srv/app/b.js:1:2)", "foo|/srv/app/b.js|/srv/app/b.js|1:2|app"},
		{"    at Module._compile (node:internal/modules/cjs/loader:1376:14)", "Module._compile|node:internal/modules/cjs/loader|node:internal/modules/cjs/loader|1376:14|lib"},
		{"    at node:internal/main/run_main_module:28:49", "?|node:internal/main/run_main_module|node:internal/main/run_main_module|28:49|lib"},
		{"    at process.processTicksAndRejections (internal/process/task_queues.js:95:5)", "process.processTicksAndRejections|internal/process/task_queues.js|internal/process/task_queues.js|95:5|lib"},
		{"    at foo (/srv/app/node_modules/x/b.js:1:2)", "foo|/srv/app/node_modules/x/b.js|/srv/app/node_modules/x/b.js|1:2|lib"},
		{"    at foo (webpack-internal:///./src/x.js:1:2)", "foo|webpack-internal:///./src/x.js|webpack-internal:///./src/x.js|1:2|app"},
		{"    at eval (webpack-internal:///./src/x.js:1:2)", "eval|webpack-internal:///./src/x.js|webpack-internal:///./src/x.js|1:2|app"},
		{"    at foo (webpack://app/./node_modules/x/b.js:1:2)", "foo|webpack://app/./node_modules/x/b.js|webpack://app/./node_modules/x/b.js|1:2|lib"},
		{"    at foo (blob:https://a.example/1b2c-3d:1:2)", "foo|blob:https://a.example/1b2c-3d|blob:https://a.example/1b2c-3d|1:2|app"},
		{"    at blob:https://a.example/1b2c-3d:1:2", "?|blob:https://a.example/1b2c-3d|blob:https://a.example/1b2c-3d|1:2|app"},
		{"    at foo (data:text/javascript;base64,eA==:1:2)", "foo|data:text/javascript;base64,eA==|data:text/javascript;base64,eA==|1:2|app"},
		{"    at chrome-extension://abcdef/content.js:1:2", "?|chrome-extension://abcdef/content.js|chrome-extension://abcdef/content.js|1:2|lib"},
		{"    at foo (chrome-extension://abcdef/content.js:1:2)", "foo|chrome-extension://abcdef/content.js|chrome-extension://abcdef/content.js|1:2|lib"},
		{"    at eval (eval at foo (https://a.example/b.js:3:4), <anonymous>:1:2)", "eval|/b.js|https://a.example/b.js|3:4|app"},
		{"    at baz (eval at foo (eval at bar (https://a.example/b.js:3:4), <anonymous>:1:30), <anonymous>:1:2)", "baz|/b.js|https://a.example/b.js|3:4|app"},
		{"    at Object.eval [as f] (eval at <anonymous> (https://a.example/b.js:3:4), <anonymous>:1:2)", "Object.eval [as f]|/b.js|https://a.example/b.js|3:4|app"},
		{"    at eval (<anonymous>:1:2)", "eval|<anonymous>||1:2|lib"},
		{"    at <anonymous>:1:2", "?|<anonymous>||1:2|lib"},
		{"    at foo (wasm://wasm/a1b2c3:wasm-function[12]:0x1a3)", "foo|wasm://wasm/a1b2c3|wasm://wasm/a1b2c3|0:0|app 0x1a3"},
		{"    at wasm://wasm/a1b2c3:wasm-function[12]:0x1a3", "wasm-function[12]|wasm://wasm/a1b2c3|wasm://wasm/a1b2c3|0:0|app 0x1a3"},
		{"    at __main (https://a.example/x.wasm:wasm-function[86]:0x5aeb)", "__main|/x.wasm|https://a.example/x.wasm|0:0|app 0x5aeb"},
		{"    at wasm-function[86]:0x5aeb", "wasm-function[86]|<anonymous>||0:0|lib 0x5aeb"},
		{"    at Anonymous function (https://a.example/b.js:1:2)", "Anonymous function|/b.js|https://a.example/b.js|1:2|app"},
		{"    at Global code (https://a.example/b.js:1:2)", "Global code|/b.js|https://a.example/b.js|1:2|app"},
		{"    at foo (unknown location)", "foo|<anonymous>||0:0|lib"},
		{"    at Foo.über (https://a.example/ü.js:1:2)", "Foo.über|/ü.js|https://a.example/ü.js|1:2|app"},
		{"\tat foo (https://a.example/b.js:1:2)\r", "foo|/b.js|https://a.example/b.js|1:2|app"},
		{"at foo (https://a.example/b.js:123456789012:2)", "foo|/b.js|https://a.example/b.js|123456789012:2|app"},
		// Not frames: prose of a message, and what engines add.
		{"    at home we have no line", ""},
		{"    at 10:30 it broke", ""},
		{"    at 10:30", ""},
		{"    at position 7", ""},
		{"    at position (see below)", ""},
		{"    at foo (index zero)", ""},
		{"    at foo ()", ""},
		{"    at", ""},
		{"    ... 12 more", ""},
		{"    at foo (https://a.example/b.js:1234567890123456:2", ""},
	})
}

func TestSpiderMonkeyAndJavaScriptCoreLines(t *testing.T) {
	testLines(t, false, []line{
		{"foo@https://a.example/b.js:1:2", "foo|/b.js|https://a.example/b.js|1:2|app"},
		{"@https://a.example/b.js:1:2", "?|/b.js|https://a.example/b.js|1:2|app"},
		{"https://a.example/b.js:1:2", "?|/b.js|https://a.example/b.js|1:2|app"},
		{"foo@https://a.example/b.js:12", "foo|/b.js|https://a.example/b.js|12:0|app"},
		{"foo/bar<@https://a.example/b.js:1:2", "foo/bar<|/b.js|https://a.example/b.js|1:2|app"},
		{"foo/</bar@https://a.example/b.js:1:2", "foo/</bar|/b.js|https://a.example/b.js|1:2|app"},
		{".plugin/e.fn[c]/<@https://a.example/b.js:1:2", ".plugin/e.fn[c]/<|/b.js|https://a.example/b.js|1:2|app"},
		{"[2]</Bar.prototype._baz/</<@https://a.example/b.js:1:2", "[2]</Bar.prototype._baz/</<|/b.js|https://a.example/b.js|1:2|app"},
		{"Foo.prototype.bar@https://a.example/b.js:1:2", "Foo.prototype.bar|/b.js|https://a.example/b.js|1:2|app"},
		{"async*foo@https://a.example/b.js:1:2", "foo|/b.js|https://a.example/b.js|1:2|app"},
		{"async*@https://a.example/b.js:1:2", "?|/b.js|https://a.example/b.js|1:2|app"},
		{"promise callback*foo@https://a.example/b.js:1:2", "foo|/b.js|https://a.example/b.js|1:2|app"},
		{"setTimeout handler*foo/<@https://a.example/b.js:1:2", "foo/<|/b.js|https://a.example/b.js|1:2|app"},
		{"EventListener.handleEvent*@https://a.example/b.js:1:2", "?|/b.js|https://a.example/b.js|1:2|app"},
		{"async foo@https://a.example/b.js:1:2", "foo|/b.js|https://a.example/b.js|1:2|app"},
		{"foo@https://cdn.example/react@18.2.0/b.js:1:2", "foo|/react@18.2.0/b.js|https://cdn.example/react@18.2.0/b.js|1:2|app"},
		{"https://cdn.example/react@18.2.0/b.js:1:2", "?|/react@18.2.0/b.js|https://cdn.example/react@18.2.0/b.js|1:2|app"},
		{"@https://cdn.example/react@18.2.0/b.js:1:2", "?|/react@18.2.0/b.js|https://cdn.example/react@18.2.0/b.js|1:2|app"},
		{"foo@https://a.example/a b (c).js:1:2", "foo|/a b (c).js|https://a.example/a b (c).js|1:2|app"},
		{"foo@https://a.example/b.js?x=1&y=@2:1:2", "foo|/b.js|https://a.example/b.js?x=1&y=@2|1:2|app"},
		{"foo@http://localhost:3000/b.js:1:2", "foo|/b.js|http://localhost:3000/b.js|1:2|app"},
		{"foo@file:///C:/x/b.js:1:2", "foo|file:///C:/x/b.js|file:///C:/x/b.js|1:2|app"},
		{"foo@file:///Users/me/my app/b.js:1:2", "foo|file:///Users/me/my app/b.js|file:///Users/me/my app/b.js|1:2|app"},
		{"foo@blob:https://a.example/1b2c:1:2", "foo|blob:https://a.example/1b2c|blob:https://a.example/1b2c|1:2|app"},
		{"blob:https://a.example/1b2c:1:2", "?|blob:https://a.example/1b2c|blob:https://a.example/1b2c|1:2|app"},
		{"foo@moz-extension://1b2c/x.js:1:2", "foo|moz-extension://1b2c/x.js|moz-extension://1b2c/x.js|1:2|lib"},
		{"foo@resource://gre/modules/x.js:1:2", "foo|resource://gre/modules/x.js|resource://gre/modules/x.js|1:2|lib"},
		{"foo@chrome://browser/content/x.js:1:2", "foo|chrome://browser/content/x.js|chrome://browser/content/x.js|1:2|lib"},
		{"foo@self-hosted:1135:17", "foo|self-hosted|self-hosted|1135:17|lib"},
		{"map@self-hosted:1135", "map|self-hosted|self-hosted|1135:0|lib"},
		{"foo@https://a.example/b.js line 26 > eval:4:18", "foo|/b.js|https://a.example/b.js|26:0|app"},
		{"@https://a.example/b.js line 26 > eval:4:18", "eval|/b.js|https://a.example/b.js|26:0|app"},
		{"foo@https://a.example/b.js line 26 > eval line 2 > eval:4:18", "foo|/b.js|https://a.example/b.js|26:0|app"},
		{"anonymous@https://a.example/b.js line 7 > Function:1:1", "anonymous|/b.js|https://a.example/b.js|7:0|app"},
		{"@debugger eval code:1:1", "?|debugger eval code|debugger eval code|1:1|lib"},
		{"foo@https://a.example/x.wasm:wasm-function[12]:0x1a3", "foo|/x.wasm|https://a.example/x.wasm|0:0|app 0x1a3"},
		{"@https://a.example/x.wasm:wasm-function[12]:0x1a3", "wasm-function[12]|/x.wasm|https://a.example/x.wasm|0:0|app 0x1a3"},
		{"foo@webpack-internal:///./src/x.js:1:2", "foo|webpack-internal:///./src/x.js|webpack-internal:///./src/x.js|1:2|app"},
		{"foo@http://a.example/node_modules/x/b.js:1:2", "foo|/node_modules/x/b.js|http://a.example/node_modules/x/b.js|1:2|lib"},
		// JavaScriptCore's own words.
		{"global code@https://a.example/b.js:1:2", "global code|/b.js|https://a.example/b.js|1:2|app"},
		{"module code@https://a.example/b.js:1:2", "module code|/b.js|https://a.example/b.js|1:2|app"},
		{"eval code@https://a.example/b.js:1:2", "eval code|/b.js|https://a.example/b.js|1:2|app"},
		{"eval code@", "eval code|<anonymous>||0:0|lib"},
		{"eval code", "eval code|<anonymous>||0:0|lib"},
		{"module code", "module code|<anonymous>||0:0|lib"},
		{"[native code]", "?|[native code]||0:0|lib"},
		{"map@[native code]", "map|[native code]||0:0|lib"},
		{"@[native code]", "?|[native code]||0:0|lib"},
		{"promiseReactionJob@[native code]", "promiseReactionJob|[native code]||0:0|lib"},
		{"asyncFunctionResume@[native code]", "asyncFunctionResume|[native code]||0:0|lib"},
		{"wasm-function[12]@[wasm code]", "wasm-function[12]|[wasm code]||0:0|lib"},
		{"<?>.wasm-function[12]@[wasm code]", "<?>.wasm-function[12]|[wasm code]||0:0|lib"},
		{"[wasm code]", "?|[wasm code]||0:0|lib"},
		{"foo@webkit-masked-url://hidden/:1:2", "foo|webkit-masked-url://hidden/|webkit-masked-url://hidden/|1:2|lib"},
		{"foo@safari-extension:(//3284871F-A480/2665fee0/commons.js:223036:10)", "foo|safari-extension://3284871F-A480/2665fee0/commons.js|safari-extension://3284871F-A480/2665fee0/commons.js|223036:10|lib"},
		{"foo@safari-web-extension:(//3284871F-A480/commons.js:22:10)", "foo|safari-web-extension://3284871F-A480/commons.js|safari-web-extension://3284871F-A480/commons.js|22:10|lib"},
		{"foo@capacitor://localhost/b.js:1:2", "foo|capacitor://localhost/b.js|capacitor://localhost/b.js|1:2|app"},
		{"foo@ionic://localhost/b.js:1:2", "foo|ionic://localhost/b.js|ionic://localhost/b.js|1:2|app"},
		{"value@main.jsbundle:12:34", "value|main.jsbundle|main.jsbundle|12:34|app"},
		{"main.jsbundle:12:34", "?|main.jsbundle|main.jsbundle|12:34|app"},
		{"/srv/b.js:12:34", "?|/srv/b.js|/srv/b.js|12:34|app"},
		// Not frames.
		{"write to bob@example.com please", ""},
		{"bob@example.com", ""},
		{"see https://a.example/docs", ""},
		{"expected: 3:4", ""},
		{"at noon: 12:30", ""},
	})
}

func TestReactNativeLines(t *testing.T) {
	const bundle = "app:///index.android.bundle|app:///index.android.bundle"
	testLines(t, true, []line{
		{"    at n (address at index.android.bundle:1:2837)", "n|" + bundle + "|1:2837|app"},
		{"    at anonymous (address at index.android.bundle:1:2876)", "anonymous|" + bundle + "|1:2876|app"},
		{"    at global (address at index.android.bundle:1:419)", "global|" + bundle + "|1:419|app"},
		{"    at ?anon_0_ (address at index.android.bundle:1:419)", "?anon_0_|" + bundle + "|1:419|app"},
		{"    at ?anon_0_?anon_0_step (address at index.android.bundle:1:419)", "?anon_0_?anon_0_step|" + bundle + "|1:419|app"},
		{"    at async f (address at index.android.bundle:1:419)", "f|" + bundle + "|1:419|app"},
		{"    at value (address at /data/user/0/com.example/files/index.android.bundle:1:0)", "value|" + bundle + "|1:0|app"},
		{"    at value (address at assets://index.android.bundle:1:10)", "value|" + bundle + "|1:10|app"},
		{"    at map (native)", "map|native||0:0|lib"},
		{"    at apply (native)", "apply|native||0:0|lib"},
		{"    at tryCallOne (address at InternalBytecode.js:1:1180)", "tryCallOne|app:///InternalBytecode.js|app:///InternalBytecode.js|1:1180|lib"},
		{"    at tryCallOne (/root/react-native/sdks/hermes/build/lib/InternalBytecode/InternalBytecode.js:53:16)", "tryCallOne|app:///InternalBytecode.js|app:///InternalBytecode.js|53:16|lib"},
		{"    at onPress (http://10.0.2.2:8081/index.bundle?platform=android&dev=true&minify=false:12345:12)", "onPress|app:///index.bundle|app:///index.bundle|12345:12|app"},
		{"    at onPress (http://localhost:8081/index.bundle//&platform=ios&dev=true:12345:12)", "onPress|app:///index.bundle|app:///index.bundle|12345:12|app"},
		{"    at foo (index.android.bundle:1:2)", "foo|" + bundle + "|1:2|app"},
		{"    at index.android.bundle:1:2", "?|" + bundle + "|1:2|app"},
		{"value@index.android.bundle:12:34", "value|" + bundle + "|12:34|app"},
		{"value@main.jsbundle:12:34", "value|app:///main.jsbundle|app:///main.jsbundle|12:34|app"},
		{"value@file:///var/containers/Bundle/Application/8F1C2B3A/MyApp.app/main.jsbundle:1:2", "value|app:///main.jsbundle|app:///main.jsbundle|1:2|app"},
		{"/private/var/containers/Bundle/Application/8F1C2B3A/My App.app/main.jsbundle:1:2", ""},
		{"/private/var/containers/Bundle/Application/8F1C2B3A/MyApp.app/main.jsbundle:1:2", "?|app:///main.jsbundle|app:///main.jsbundle|1:2|app"},
		{"value@/private/var/containers/Bundle/Application/8F1C2B3A/My App.app/main.jsbundle:1:2", "value|app:///main.jsbundle|app:///main.jsbundle|1:2|app"},
		{"value@http://192.168.1.2:8081/index.bundle?platform=ios&dev=true:123:45", "value|app:///index.bundle|app:///index.bundle|123:45|app"},
		{"value@app:///main.jsbundle:1:2", "value|app:///main.jsbundle|app:///main.jsbundle|1:2|app"},
		{"[native code]", "?|[native code]||0:0|lib"},
		{"forEach@[native code]", "forEach|[native code]||0:0|lib"},
		{"global code@main.jsbundle:1:2", "global code|app:///main.jsbundle|app:///main.jsbundle|1:2|app"},
		{"    ... skipping 96 frames", ""},
		{"    in RCTView (at View.js:34)", ""},
	})
}

func TestJavaLines(t *testing.T) {
	testLines(t, false, []line{
		{"\tat com.example.Cart.pay(Cart.java:42)", "com.example.Cart#pay|Cart.java|Cart.java|42:0|app"},
		{"\tat com.example.Cart$Companion.pay$lambda-0(Cart.kt:42)", "com.example.Cart$Companion#pay$lambda-0|Cart.kt|Cart.kt|42:0|app"},
		{"\tat com.example.Cart.<init>(Cart.java:7)", "com.example.Cart#<init>|Cart.java|Cart.java|7:0|app"},
		{"\tat android.os.Handler.dispatchMessage(Handler.java:106)", "android.os.Handler#dispatchMessage|Handler.java|Handler.java|106:0|lib"},
		{"\tat java.lang.reflect.Method.invoke(Native Method)", "java.lang.reflect.Method#invoke|||0:0|lib"},
		{"\tat a.b.c(Unknown Source)", "a.b#c|||0:0|app"},
		{"\tat a.b.c(SourceFile)", "a.b#c|SourceFile|SourceFile|0:0|app"},
	})
}
