-- Notes limits that an upstream announced and tells all gateways. KEYS: the
-- hash of limits. ARGV: the channel, then for each limit its name, how many
-- milliseconds it still holds and its reason. A limit is never shortened.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local longest = 0
for i = 2, #ARGV, 3 do
  local ends = now + tonumber(ARGV[i + 1])
  local have = redis.call('HGET', KEYS[1], ARGV[i])
  if not have or tonumber(string.match(have, '^%d+')) < ends then
    redis.call('HSET', KEYS[1], ARGV[i], string.format('%.0f', ends) .. ' ' .. ARGV[i + 2])
    longest = math.max(longest, tonumber(ARGV[i + 1]))
  end
end
if longest > 0 then
  if redis.call('PTTL', KEYS[1]) < longest then redis.call('PEXPIRE', KEYS[1], longest) end
  redis.call('PUBLISH', ARGV[1], '1')
end
return redis.status_reply('OK')
