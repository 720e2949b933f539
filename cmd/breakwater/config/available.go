package config

// absent is what the configuration can say and this build cannot do, with what
// to use instead. Saying it is a problem, because a gateway that starts and
// leaves out what it was told would be worse. Whoever adds such a part removes
// its line here.
var absent = map[string]string{
	"spool.engine: jetstream": "use disk",
}

// need reports a key that wants what this build does not have.
func (c *checker) need(key, what, shown string) {
	if instead, ok := absent[what]; ok {
		c.add(key, shown+" is not available in this build", instead)
	}
}

// checkAvailable reports everything that is wanted and absent.
func (c *checker) checkAvailable() {
	c.need("spool.engine", "spool.engine: "+c.Spool.Engine, c.Spool.Engine)
}
