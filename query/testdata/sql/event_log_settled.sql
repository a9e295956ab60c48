SELECT DISTINCT event_id, received_at
FROM event_log
WHERE workspace = {ws:String}
  AND (received_at, event_id) IN arrayZip(arrayMap(ms -> fromUnixTimestamp64Milli(ms, 'UTC'), {times:Array(Int64)}), {ids:Array(String)})
  AND status != 'PENDING'
