-- Gives a claim back, if it is still this gateway's. KEYS: the claim. ARGV: the
-- gateway's name.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return redis.status_reply('OK')
