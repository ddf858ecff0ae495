//! What runs inside the server: each script is atomic there, and one round trip from here.
//!
//! No run of a script writes twice. What writes twice goes into an append-only file as `MULTI ... EXEC`, and there are servers that
//! keep the first half of that if they are killed while they write it: whatever they confirm after that is lost with their next
//! restart, or replaced by what that half did (`docs/guarantees.md`). So no key has a time to live either, since who
//! writes to a key that has expired deletes it at first. And no script asks for anything but the keys, the time for
//! instance: then a server that keeps scripts instead of what they did (Redis 6) may do so.

use redis::Cmd;
use sha1_smol::Sha1;

/// The format of the keys that is written here.
pub(crate) const FORMAT: u32 = 2;

/// What a log's keys are called. All scripts take the first two in this order, and some a snapshot's pieces behind them.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) tip: String,
    pub(crate) log: String,
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Keys {
        let key = |name: &str| format!("{{{prefix}}}:{name}");
        Keys { tip: key("tip"), log: key("log"), prefix: prefix.to_owned() }
    }

    /// The key of a snapshot's pieces.
    pub(crate) fn snapshot(&self, name: &str) -> String {
        format!("{{{}}}:snapshot:{name}", self.prefix)
    }
}

/// A script, and how the server calls it once it has it.
pub(crate) struct Script {
    code: String,
    sha: String,
}

impl Script {
    fn new(pieces: &[&str]) -> Script {
        let code = pieces.concat();
        let sha = Sha1::from(&code).digest().to_string();
        Script { code, sha }
    }

    /// The call by digest, which is short, or with the whole script, which the server then keeps.
    pub(crate) fn call(&self, whole: bool, keys: &[&str]) -> Cmd {
        let mut call = redis::cmd(if whole { "EVAL" } else { "EVALSHA" });
        call.arg(if whole { &self.code } else { &self.sha }).arg(keys.len()).arg(keys);
        call
    }
}

/// All scripts.
pub(crate) struct Scripts {
    pub(crate) open: Script,
    pub(crate) log: Script,
    pub(crate) trim: Script,
    pub(crate) claim: Script,
    pub(crate) put: Script,
    pub(crate) keep: Script,
    pub(crate) release: Script,
}

impl Scripts {
    pub(crate) fn new() -> Scripts {
        Scripts {
            open: Script::new(&[TIP, CREATE, LAST, END, ADOPT]),
            log: Script::new(&[TIP, KNOWN, RECENT, END, CHECK, LOG]),
            trim: Script::new(&[TIP, KNOWN, RECENT, END, CHECK, TRIM]),
            claim: Script::new(&[FIELD, CLAIM]),
            put: Script::new(&[FIELD, PUT]),
            keep: Script::new(&[TIP, KNOWN, RECENT, END, CHECK, FIELD, KEEP]),
            release: Script::new(&[FIELD, RELEASE]),
        }
    }
}

/// What the log says of itself.
const TIP: &str = r"
local tip = redis.call('HMGET', KEYS[1], 'id', 'format', 'trim_seq', 'trim_chain', 'base')
";

/// Makes the log if it is not there. ARGV: its id if it is made, its first chain value, and `1` if it is to be written.
const CREATE: &str = r"
if not tip[1] then
  if ARGV[1] == '' then return {'none'} end
  if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return {'other'} end
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'format', '2', 'seq', '0', 'bytes', '0', 'chain', ARGV[2])
  return {'ok', ARGV[1], '0', '0', ARGV[2]}
end
if tip[2] ~= '1' and tip[2] ~= '2' then return {'format', tip[2] or ''} end
";

/// The log is there and of a known format, or the script ends here.
const KNOWN: &str = r"
if not tip[1] then return {'lost', '0'} end
if tip[2] ~= '1' and tip[2] ~= '2' then return {'format', tip[2] or ''} end
";

/// The last entry.
const LAST: &str = r"
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', '1')[1]
";

/// The last entries down to the one at the position that the caller was told last (ARGV 2 and 3, see [`CHECK`]), or some of
/// them, and the last one in any case. One call says all there is to know for whoever is not far behind.
const RECENT: &str = r"
local recent_max, at = 32, ARGV[3] .. '-' .. ARGV[2]
local recent = redis.call('XREVRANGE', KEYS[2], '+', at, 'COUNT', recent_max)
local last = recent[1] or redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', '1')[1]
";

/// Where the log ends. An entry at its end that is not even like one of ours ends the script with `damaged`, or a stranger's
/// would make what comes before look as if it were not there.
const END: &str = r"
local seq, bytes, chain
if last and tip[2] == '2' then
  bytes, seq = string.match(last[1], '^(%d+)%-(%d+)$')
  chain = last[2][2]
  if last[2][1] ~= 'c' or #chain ~= 16 or seq == '0' then return {'damaged', last[1]} end
else
  seq, bytes, chain = unpack(redis.call('HMGET', KEYS[1], 'seq', 'bytes', 'chain'))
end
";

/// Has a log of format 1 that is to be written become one of format 2: the same, but for where its end is noted. Answers
/// `torn` if that is not where its last entry says: then the server has lost what it had confirmed. Answers the log's id and end.
const ADOPT: &str = r"
if tip[2] == '1' and ARGV[3] == '1' then
  if last and (last[1] ~= bytes .. '-' .. seq or last[2][2] ~= chain) then return {'torn', last[1]} end
  redis.call('HSET', KEYS[1], 'format', '2')
end
return {'ok', tip[1], seq, bytes, chain}
";

/// Is this the log that the caller knows, and does it still hold all that it was told of? ARGV: the log's id, and the last
/// position that the caller was told of: records, bytes, chain value. If not, the script ends with `lost` and what is there.
///
/// A position before what was trimmed cannot be checked any more; of such a caller only the log's id is known.
const CHECK: &str = r"
local told, ends, trimmed = tonumber(ARGV[2]), tonumber(seq), tonumber(tip[3] or '0')
local same = tip[1] == ARGV[1]
if same and told >= ends then
  same = told == ends and ARGV[4] == chain
elseif same and told == trimmed and tip[4] then
  same = ARGV[4] == tip[4]
elseif same and told > trimmed then
  local entry = recent[#recent]
  if #recent == recent_max then entry = redis.call('XRANGE', KEYS[2], at, at)[1] end
  same = entry and entry[1] == at and entry[2][2] == ARGV[4]
end
if not same then return {'lost', seq} end
";

/// Appends a batch, or looks. ARGV from 5 on: the position that the caller has read up to (records, bytes), the most bytes
/// to send or to search, the writer and the counter of its batch, how many records it has (0 to look; then -1 asks for a write that
/// changes nothing, for `WAIT` to wait for), `whole` to search whatever there is, where the log must end or nothing, the batch and its checksum.
///
/// Answers `ok`, the position after the batch or the log's end, how many records were trimmed, the base, and what
/// the caller has not read of what lies before the batch, the newest first, as far as that is not too much. `moved` if the log ends elsewhere.
///
/// A batch that arrives again is found among the entries that follow what its writer was told last, since it was sent behind
/// that: it is answered as it was the first time. `late` if its writer has gone on meanwhile. `far` if not all of these
/// entries can be searched: the batch is not appended, whether it is there or not.
const LOG: &str = r"
local count, end_bytes, most = tonumber(ARGV[10]), tonumber(bytes), tonumber(ARGV[7])
if count ~= 0 and tip[2] ~= '2' then return {'lost', seq} end
if count > 0 and told < ends then
  local floor, counter, ours = tonumber(ARGV[3])
  if told < trimmed or end_bytes - floor > most and ARGV[11] ~= 'whole' then return {'far'} end
  local function is_end(entry)
    if tonumber(string.match(entry[1], '^%d+')) <= floor then return true end
    local writer, number = string.match(entry[2][6] or '', '^(%x+) (%d+)$')
    if writer ~= ARGV[8] then return false end
    ours, counter = entry, number
    return true
  end
  local page, done = recent, false
  repeat
    for _, entry in ipairs(page) do
      done = is_end(entry)
      if done then break end
    end
    if not done then
      local b, s = string.match(page[#page][1], '^(%d+)%-(%d+)$')
      page = redis.call('XREVRANGE', KEYS[2], b .. '-' .. string.format('%.0f', tonumber(s) - 1), at, 'COUNT', '100')
    end
  until done or #page == 0
  if ours and counter == ARGV[9] then
    local b, s = string.match(ours[1], '^(%d+)%-(%d+)$')
    return {'ok', s, b, ours[2][2], tip[3] or '0', tip[5] or '', {}}
  end
  if ours and tonumber(counter) > tonumber(ARGV[9]) then return {'late'} end
end
if count > 0 and ARGV[12] ~= '' and tonumber(ARGV[12]) ~= ends then return {'moved'} end
local news, missing = {}, end_bytes - tonumber(ARGV[6])
if missing > 0 and missing <= most and tonumber(ARGV[5]) >= trimmed then
  if ARGV[6] == ARGV[3] and #recent < recent_max then
    news = recent
    if news[#news][1] == at then news[#news] = nil end
  else
    news = redis.call('XREVRANGE', KEYS[2], '+', string.format('%.0f', tonumber(ARGV[6]) + 1) .. '-0')
  end
end
if count > 0 then
  seq = string.format('%.0f', ends + count)
  bytes = string.format('%.0f', end_bytes + #ARGV[13])
  local id = bytes .. '-' .. seq
  chain = string.sub(redis.sha1hex(chain .. id .. ARGV[14]), 1, 16)
  redis.call('XADD', KEYS[2], id, 'c', chain, 'd', ARGV[13], 'w', ARGV[8] .. ' ' .. ARGV[9])
elseif count < 0 then
  redis.call('HINCRBY', KEYS[1], 'syncs', 1)
end
return {'ok', seq, bytes, chain, tip[3] or '0', tip[5] or '', news}
";

/// Gives up some entries that the base covers, in steps: notes at first that they are given up, and then deletes some with each
/// call, but never the last entry, which is where the log's end is. ARGV from 5 on: the time, for how many seconds the base must
/// have covered them, and how many to delete at most. Answers whether there may be more to do.
const TRIM: &str = r"
if tip[2] ~= '2' then return {'lost', seq} end
if tip[5] then
  local words = {}
  for word in string.gmatch(tip[5], '%S+') do words[#words + 1] = word end
  if words[8] == 'base' and tonumber(ARGV[5]) - tonumber(words[7]) >= tonumber(ARGV[6]) and tonumber(words[2]) > trimmed then
    redis.call('HSET', KEYS[1], 'trim_seq', words[2], 'trim_bytes', words[3], 'trim_chain', words[4])
    return {'ok', '1'}
  end
end
local trim_bytes, ids = redis.call('HGET', KEYS[1], 'trim_bytes'), {}
if not trim_bytes then return {'ok', '0'} end
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', trim_bytes .. '-' .. tip[3], 'COUNT', ARGV[7])) do
  if entry[1] ~= last[1] then ids[#ids + 1] = entry[1] end
end
if #ids == 0 then return {'ok', '0'} end
redis.call('XDEL', KEYS[2], unpack(ids))
return {'ok', '1'}
";

/// The n-th word of a field.
const FIELD: &str = r"
local function field(text, n)
  local i = 0
  for word in string.gmatch(text or '', '%S+') do
    i = i + 1
    if i == n then return word end
  end
end
";

/// Claims the right to write a snapshot. ARGV: the log's id, the snapshot's name, the time, and after how many seconds a claim has
/// lapsed. Answers `ok` and the names of pieces that nobody will need any more, or `busy`.
const CLAIM: &str = r"
local tip = redis.call('HMGET', KEYS[1], 'id', 'writing', 'unused')
if tip[1] ~= ARGV[1] then return {'lost', '0'} end
local name, since, unused = field(tip[2], 1), tonumber(field(tip[2], 2) or '0'), tip[3] or ''
if name and name ~= ARGV[2] then
  if tonumber(ARGV[3]) - since < tonumber(ARGV[4]) then return {'busy'} end
  unused = unused .. ' ' .. name
end
redis.call('HSET', KEYS[1], 'writing', ARGV[2] .. ' ' .. ARGV[3], 'unused', unused)
return {'ok', unused}
";

/// Adds a piece to the snapshot whose pieces KEYS[3] holds, as long as it is the one that is being written. ARGV: its name, the piece's number
/// and the piece.
const PUT: &str = r"
if field(redis.call('HGET', KEYS[1], 'writing'), 1) ~= ARGV[1] then return {'gone'} end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
return {'ok'}
";

/// Makes what was stored under KEYS[3] the log's snapshot, or its base. ARGV from 5 on: the position that it was
/// taken at, its name, length and checksum, `snapshot`, `base` or `kept` (a base that lets no record go), how many pieces it has, and the time.
/// Answers `ok` and the names of those that nobody refers to any more, `newer` if there is one as new, or `gone`.
const KEEP: &str = r"
if tip[2] ~= '2' then return {'lost', seq} end
local at, kind = tonumber(ARGV[5]), ARGV[11]
local old = redis.call('HMGET', KEYS[1], 'snapshot', 'base', 'writing')
for i = 1, 3 do if old[i] == '' then old[i] = false end end
local is_base = kind ~= 'snapshot'
local rival = is_base and old[2] or old[1]
if rival and tonumber(field(rival, 2)) >= at and not (is_base and field(rival, 8) == 'kept' and kind == 'base') then return {'newer'} end
if at < trimmed or not is_base and old[2] and tonumber(field(old[2], 2)) >= at then return {'newer'} end
if field(old[3], 1) ~= ARGV[8] or redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[12]) then return {'gone'} end
local value = table.concat({ARGV[8], ARGV[5], ARGV[6], ARGV[7], ARGV[9], ARGV[10], ARGV[13], kind}, ' ')
local unused, snapshot, base = '', old[1] or '', old[2] or ''
if is_base then
  if old[2] and field(old[2], 1) ~= field(old[1], 1) then unused = unused .. ' ' .. field(old[2], 1) end
  if old[1] and tonumber(field(old[1], 2)) <= at then
    unused = unused .. ' ' .. field(old[1], 1)
    snapshot = ''
  end
  base = value
else
  if old[1] then unused = unused .. ' ' .. field(old[1], 1) end
  snapshot = value
end
redis.call('HSET', KEYS[1], 'snapshot', snapshot, 'base', base, 'writing', '', 'unused', unused)
return {'ok', unused}
";

/// Gives the claim back, and notes that its pieces are of no use. ARGV: the snapshot's name.
const RELEASE: &str = r"
local old = redis.call('HMGET', KEYS[1], 'writing', 'unused')
if field(old[1], 1) == ARGV[1] then redis.call('HSET', KEYS[1], 'writing', '', 'unused', (old[2] or '') .. ' ' .. ARGV[1]) end
return {'ok'}
";
