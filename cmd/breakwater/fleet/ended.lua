-- Hands out storms that are over, each for a while to one gateway. KEYS: the
-- storms by their end. ARGV: how many, for how long in milliseconds.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local out = {}
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[1]))) do
  local f = redis.call('HMGET', ref, 'project', 'fingerprint', 'title', 'release', 'environment', 'level', 'key',
    'start', 'last', 'seen', 'forwarded')
  if f[1] then
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ref)
    local row = {ref}
    for i = 1, 11 do row[i + 1] = f[i] or '' end
    out[#out + 1] = row
  else
    redis.call('ZREM', KEYS[1], ref)
  end
end
return out
