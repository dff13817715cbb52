# An agent: sh agent.sh PROMPT BILLS DONE. It bills its run in BILLS, and decides on a command that notes the run in DONE.
run=$(basename "$(dirname "$1")")
echo "begun $run" >>"$2"
sleep 0.2
echo "paid $run" >>"$2"
printf '{"type":"result","subtype":"success","is_error":false,"total_cost_usd":0.02,"result":"%s"}\n' \
    "{\\\"action\\\": \\\"run_shell\\\", \\\"cmd\\\": \\\"sleep 0.15; echo $run >> '$3'; sleep 0.15\\\"}"
