-- Takes the steps of one request in their order, all at one moment. What a step
-- needs and what it answers is said in steps.go, which writes and reads both.
--
-- ARGV: prefix, name of this gateway, number of steps, then for each its kind,
-- the number of the step that must have passed (0 for none) and what its kind
-- needs. KEYS: those of the steps in their order.
local gcra = function(KEYS, ARGV)
--GCRA--
end

local prefix, me = ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local a, k = 4, 1

local function text()
  a = a + 1
  return ARGV[a - 1]
end
local function number() return tonumber(text()) end
local function key()
  k = k + 1
  return KEYS[k - 1]
end

-- more than a bucket ever holds is given when it is full, and paid back after
local function bucket(name, n, rate, burst)
  local r = gcra({name}, {math.max(burst, n), rate, 1, n})
  return r[1] > 0, math.ceil((tonumber(r[3]) or 0) * 1000)
end

local take = {}

-- bucket
take.b = function()
  local name, n, rate, burst = key(), number(), number(), number()
  return function()
    local ok, wait = bucket(name, n, rate, burst)
    return ok, {wait}
  end
end

-- items: a quota, a bucket, or both. What a gateway tells again, because no
-- answer reached it, is known by how much it has told in its life.
take.i = function()
  local name, quota = key(), key()
  local n, rate, burst = number(), number(), number()
  local limit, known, fresh, ends = number(), number(), number(), number()
  local life, told = text(), number()
  return function()
    local used = 0
    if limit >= 0 then
      if fresh > 0 then
        local had = math.max(tonumber(redis.call('GET', life)) or 0, told)
        local tells = math.max(told + fresh, had)
        redis.call('SET', life, string.format('%.0f', tells), 'PX', ends)
        fresh = tells - had
      end
      used = math.max(tonumber(redis.call('GET', quota)) or 0, known) + fresh
      if used > limit - n then
        redis.call('SET', quota, string.format('%.0f', used), 'PX', ends)
        return false, {0, 1, used}
      end
    end
    local ok, wait = true, 0
    if rate > 0 then ok, wait = bucket(name, n, rate, burst) end
    if limit >= 0 then
      if ok then used = used + n end
      redis.call('SET', quota, string.format('%.0f', used), 'PX', ends)
    end
    return ok, {wait, 0, used}
  end
end

-- storm: w start of the window, n seen in it, u those of them that no storm has
-- counted, s suppressed since the last that passed, l when one was suppressed
-- last, r the running storm
take.s = function()
  local name, ends = key(), key()
  local window, first, one_in = number(), number(), number()
  local facts = {}
  for i = 1, 7 do facts[i] = text() end
  return function()
    local h = redis.call('HMGET', name, 'w', 'n', 's', 'l', 'r', 'u')
    local w, n, s, l, r, u = tonumber(h[1]), tonumber(h[2]) or 0, tonumber(h[3]) or 0, tonumber(h[4]), h[5], tonumber(h[6]) or 0
    if not w or now - w >= window or now < w - window then w, n, u = now, 0, 0 end
    n = n + 1
    local over = n - first
    local pass = over <= 0 or over % one_in == 0
    if r == '' or not l or now - l >= window then r = false end -- none, or one that is over
    if r and redis.call('EXISTS', r) == 0 then r = false end -- evicted: what it counted is lost
    local since = s
    if pass then
      s = 0
    else
      s, l = s + 1, now
      if not r then
        r = name .. ':' .. now
        redis.call('HSET', r, 'project', facts[1], 'fingerprint', facts[2], 'title', facts[3], 'release', facts[4],
          'environment', facts[5], 'level', facts[6], 'key', facts[7], 'start', w, 'seen', u, 'forwarded', u)
        u = 0
      end
      redis.call('ZADD', ends, now + window, r)
      redis.call('PEXPIRE', ends, window + 172800000)
      redis.call('HSET', r, 'last', now)
      redis.call('PEXPIRE', r, window + 86400000)
    end
    if r then
      redis.call('HINCRBY', r, 'seen', 1)
      if pass then redis.call('HINCRBY', r, 'forwarded', 1) end
    else
      u = u + 1
    end
    redis.call('HSET', name, 'w', w, 'n', n, 's', s, 'l', l or 0, 'r', r or '', 'u', u)
    redis.call('PEXPIRE', name, s > 0 and math.max(2 * window, 86400000) or 2 * window)
    return pass, {n, since}
  end
end

-- claim: 1 when it was taken, else who is deciding on it
take.c = function()
  local name, patience = key(), number()
  return function()
    local holder = redis.call('GET', name)
    if holder == '1' then return false, {0} end
    if holder and holder ~= me then return false, {1} end
    redis.call('SET', name, me, 'PX', patience)
    return true, {0}
  end
end

-- owner of a measurement: of a gateway that died without a word the next takes
-- over; one that stopped has kept what it had and counts it when it is back
take.o = function()
  local name, keep = key(), number()
  return function()
    local owner = redis.call('GET', name)
    if owner and owner ~= me then
      if redis.call('EXISTS', prefix .. 'alive:' .. owner) == 1 then return false, {0, owner} end
      if redis.call('EXISTS', prefix .. 'rests:' .. owner) == 1 then return false, {1, ''} end
    end
    redis.call('SET', name, me, 'PX', keep)
    return true, {0, ''}
  end
end

local passed, out = {}, {}
for i = 1, tonumber(ARGV[3]) do
  local kind, after = text(), number()
  local decide = take[kind]()
  if after == 0 or passed[after] then
    local ok, rest = decide()
    passed[i] = ok
    table.insert(rest, 1, ok and 1 or 0)
    out[i] = rest
  else
    out[i] = {-1}
  end
end
return out
