package schemas

import "embed"

// Files are the JSON Schemas (draft 2020-12) as they are published under
// /schemas/: beacon.schema.json, crash.schema.json, config.schema.json.
//
//go:embed *.schema.json
var Files embed.FS
