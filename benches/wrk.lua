-- What wrk asks, and the counts that it ends with, as a line of JSON.
-- COOKIES holds a Cookie header on each line; every request takes the next.

local texts = {}
local sent = 0

function init(args)
   for cookie in os.getenv("COOKIES"):gmatch("[^\n]+") do
      wrk.headers["Cookie"] = cookie
      table.insert(texts, wrk.format())
   end
end

function request()
   sent = sent + 1
   return texts[sent % #texts + 1]
end

function done(summary, latency, requests)
   local errors = {}
   for kind, count in pairs(summary.errors) do
      table.insert(errors, string.format('"%s": %d', kind, count))
   end
   print(string.format(
      '{"requests": %d, "microseconds": %d, "errors": {%s}}',
      summary.requests, summary.duration, table.concat(errors, ", ")
   ))
end
