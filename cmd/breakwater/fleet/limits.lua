-- Lists the limits of upstreams that still hold: name, milliseconds left,
-- reason, one after the other; forgets the others. KEYS: the hash of limits.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local out = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ends, reason = string.match(all[i + 1], '^(%d+) (.*)$')
  ends = tonumber(ends)
  if ends and ends > now then
    out[#out + 1] = all[i]
    out[#out + 1] = ends - now
    out[#out + 1] = reason
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return out
