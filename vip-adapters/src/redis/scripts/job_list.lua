-- Lists jobs in a state in the order of their ids. Arguments: now, state, id to begin after or nothing, most.
-- Answers where to go on, or nothing at the end, and then the jobs: one call looks at a bounded number of them.
local state, most = ARGV[2], tonumber(ARGV[4])
if not most or most > BATCH_MOST then return redis.error_reply('VIP a list of another shape') end
local index = ({ waiting = ALL, leased = LEASED, dead = DEAD })[state]
local from = '-'
if ARGV[3] ~= '' then from = '(' .. ARGV[3] end
local ids = redis.call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, BATCH_MOST)
local answer = { '' }
for place, id in ipairs(ids) do
  local is_there = redis.call('HGET', job_key(id), 'state')
  if is_there == state then answer[#answer + 1] = show(id) end
  if #answer > most or (place == #ids and place == BATCH_MOST) then
    answer[1] = id
    break
  end
end
return answer
