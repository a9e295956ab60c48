SELECT name, object_type, argMaxIf(icon, received_at, icon != ''), count(), min(occurred_at), max(occurred_at)
FROM event_log
WHERE workspace = {ws:String}
  AND status = 'LINKED'
  AND object_type = {type:String}
  AND (name, object_type) > ({after_name:String}, {after_type:String})
GROUP BY name, object_type
ORDER BY name ASC, object_type ASC
LIMIT 51
