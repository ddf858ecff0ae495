//! What runs inside the server: each script is atomic there, and one round trip from here.

use redis::Cmd;
use sha1_smol::Sha1;

/// The format of the keys that is known here.
pub(crate) const FORMAT: u32 = 1;

/// What a log's keys are called, in the order in which all scripts take them.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) tip: String,
    pub(crate) log: String,
    pub(crate) writers: String,
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Keys {
        let key = |name: &str| format!("{{{prefix}}}:{name}");
        Keys { tip: key("tip"), log: key("log"), writers: key("writers"), prefix: prefix.to_owned() }
    }

    /// The key of a snapshot's pieces.
    pub(crate) fn snapshot(&self, name: &str) -> String {
        format!("{{{}}}:snapshot:{name}", self.prefix)
    }

    pub(crate) fn snapshot_lock(&self) -> String {
        format!("{{{}}}:snapshot-lock", self.prefix)
    }
}

/// A script, and how the server calls it once it has it.
pub(crate) struct Script {
    code: String,
    sha: String,
}

impl Script {
    fn new(code: &str) -> Script {
        let code = format!("{CHECK}{code}");
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
    pub(crate) create: Script,
    pub(crate) log: Script,
    pub(crate) keep: Script,
    pub(crate) trim: Script,
}

impl Scripts {
    pub(crate) fn new() -> Scripts {
        let plain = |code: &str| Script { code: code.to_owned(), sha: Sha1::from(code).digest().to_string() };
        Scripts { create: plain(CREATE), log: Script::new(LOG), keep: Script::new(KEEP), trim: Script::new(TRIM) }
    }
}

/// Makes the log if it is not there. ARGV: its id if it is made, its first chain value, the format.
/// Answers the log's id and its format.
const CREATE: &str = r"
local tip = redis.call('HMGET', KEYS[1], 'id', 'format')
if tip[1] then return {tip[1], tip[2] or ''} end
if ARGV[1] == '' then return {'', ''} end
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return {'', 'other'} end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'format', ARGV[3], 'seq', '0', 'bytes', '0', 'chain', ARGV[2])
return {ARGV[1], ARGV[3]}
";

/// What every script but CREATE begins with: is this the log that the caller has seen, and does it still hold all of
/// that? ARGV: the log's id, and the position up to which the caller has seen it: records, bytes, chain value. If not,
/// the script ends with `lost` and what is there.
///
/// A position before what was trimmed cannot be checked any more; of such a caller only the log's id is known.
const CHECK: &str = r"
local tip = redis.call('HMGET', KEYS[1], 'format', 'id', 'seq', 'bytes', 'chain', 'trim_seq', 'trim_chain', 'base')
if not tip[2] then return {'lost', '0'} end
if tip[1] ~= '1' then return {'format', tip[1] or ''} end
local seq, bytes, chain = tonumber(tip[3]), tonumber(tip[4]), tip[5]
local seen, trimmed = tonumber(ARGV[2]), tonumber(tip[6] or '0')
local same = tip[2] == ARGV[1]
if same and seen >= seq then
  same = seen == seq and ARGV[4] == chain
elseif same and seen == trimmed and tip[7] then
  same = ARGV[4] == tip[7]
elseif same and seen > trimmed then
  local id = ARGV[3] .. '-' .. ARGV[2]
  local found = redis.call('XRANGE', KEYS[2], id, id)
  same = #found == 1 and found[1][2][2] == ARGV[4]
end
if not same then return {'lost', tip[3]} end
";

/// Appends a batch, or looks. ARGV from 5 on: the most bytes to send of what the caller has not seen, the writer and the
/// counter of its batch, how many records it has (0 to look; then -1 asks for a write that changes nothing, for `WAIT` to
/// wait for), where the log must end or -1, the batch and its checksum.
///
/// Answers `ok`, where the batch begins, the position after it, how many records were trimmed, the base, and what
/// the caller has not seen of what lies before the batch, as far as that is not too much. `moved` if the log ends elsewhere.
///
/// A writer's last counter is kept, so that a batch that arrives again is not appended again.
const LOG: &str = r"
local count = tonumber(ARGV[8])
if count > 0 then
  local last = redis.call('HGET', KEYS[3], ARGV[6])
  if last then
    local counter, first, after_seq, after_bytes, after_chain = string.match(last, '^(%d+) (%d+) (%d+) (%d+) (%x+) ')
    if counter == ARGV[7] then
      return {'ok', first, after_seq, after_bytes, after_chain, tip[6] or '0', tip[8] or '', {}}
    end
    if tonumber(counter) > tonumber(ARGV[7]) then return {'late', counter} end
  end
  if ARGV[9] ~= '-1' and tonumber(ARGV[9]) ~= seq then return {'moved', tip[3]} end
end
local news = {}
local missing = bytes - tonumber(ARGV[3])
if missing > 0 and missing <= tonumber(ARGV[5]) and seen >= trimmed then
  news = redis.call('XRANGE', KEYS[2], string.format('%.0f', tonumber(ARGV[3]) + 1) .. '-0', '+')
end
local after_seq, after_bytes, after_chain = tip[3], tip[4], chain
if count > 0 then
  after_seq = string.format('%.0f', seq + count)
  after_bytes = string.format('%.0f', bytes + #ARGV[10])
  local id = after_bytes .. '-' .. after_seq
  after_chain = string.sub(redis.sha1hex(chain .. id .. ARGV[11]), 1, 16)
  redis.call('XADD', KEYS[2], id, 'c', after_chain, 'd', ARGV[10])
  redis.call('HSET', KEYS[1], 'seq', after_seq, 'bytes', after_bytes, 'chain', after_chain)
  local now = redis.call('TIME')[1]
  redis.call('HSET', KEYS[3], ARGV[6], ARGV[7] .. ' ' .. tip[3] .. ' ' .. after_seq .. ' ' .. after_bytes .. ' ' .. after_chain .. ' ' .. now)
  if ARGV[7] == '1' and redis.call('HLEN', KEYS[3]) > 1000 then
    local writers = redis.call('HGETALL', KEYS[3])
    for i = 1, #writers, 2 do
      local at = tonumber(string.match(writers[i + 1], '(%d+)$') or '0')
      if tonumber(now) - at > 86400 then redis.call('HDEL', KEYS[3], writers[i]) end
    end
  end
elseif count < 0 then
  redis.call('HINCRBY', KEYS[1], 'syncs', 1)
end
return {'ok', tip[3], after_seq, after_bytes, after_chain, tip[6] or '0', tip[8] or '', news}
";

/// Makes what was stored under KEYS[4] the log's snapshot, or with a base its base too. ARGV 1 to 4 are the position it
/// was taken at; then its name, length and checksum, and `snapshot`, `base` or `kept` (a base that lets no record go).
/// Answers `ok`, `newer` if there is one as new, and the name of one that nobody refers to any more.
const KEEP: &str = r"
local kind = ARGV[8]
local function field(text, n) local i = 0 for word in string.gmatch(text or '', '%S+') do i = i + 1 if i == n then return word end end end
local old = redis.call('HMGET', KEYS[1], 'snapshot', 'base')
local is_base = kind ~= 'snapshot'
local rival = is_base and old[2] or old[1]
if rival and tonumber(field(rival, 2)) >= seen and not (is_base and field(rival, 8) == 'kept' and kind == 'base') then return {'newer', ''} end
if seen < trimmed
  or not is_base and old[2] and tonumber(field(old[2], 2)) >= seen then return {'newer', ''} end
if redis.call('EXISTS', KEYS[4]) == 0 then return {'gone', ''} end
redis.call('PERSIST', KEYS[4])
local value = ARGV[5] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[6] .. ' ' .. ARGV[7] .. ' ' .. redis.call('TIME')[1] .. ' ' .. kind
local unused = {}
if is_base then
  if old[2] and field(old[2], 1) ~= field(old[1], 1) then unused[#unused + 1] = field(old[2], 1) end
  if old[1] and tonumber(field(old[1], 2)) <= seen then
    unused[#unused + 1] = field(old[1], 1)
    redis.call('HDEL', KEYS[1], 'snapshot')
  end
  redis.call('HSET', KEYS[1], 'base', value)
else
  if old[1] then unused[#unused + 1] = field(old[1], 1) end
  redis.call('HSET', KEYS[1], 'snapshot', value)
end
return {'ok', unused}
";

/// Gives up some entries that the base covers. ARGV from 5 on: for how many seconds they must have been covered, and how many
/// entries to give up at most. Answers how many there were.
const TRIM: &str = r"
if not tip[8] then return {'ok', '0'} end
local words = {}
for word in string.gmatch(tip[8], '%S+') do words[#words + 1] = word end
if words[8] ~= 'base' or tonumber(redis.call('TIME')[1]) - tonumber(words[7]) < tonumber(ARGV[5]) then return {'ok', '0'} end
local last = words[3] .. '-' .. words[2]
local old = redis.call('XRANGE', KEYS[2], '-', last, 'COUNT', ARGV[6])
if #old == 0 then return {'ok', '0'} end
local ids = {}
for i, entry in ipairs(old) do ids[i] = entry[1] end
local gone_bytes, gone_seq = string.match(ids[#ids], '^(%d+)%-(%d+)$')
redis.call('HSET', KEYS[1], 'trim_seq', gone_seq, 'trim_chain', old[#old][2][2])
redis.call('XDEL', KEYS[2], unpack(ids))
return {'ok', tostring(#ids)}
";
