// Runs executions that come as lines of JSON, and answers each with a line: how it ended, what it entered, what it called.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// the package wants Node 22; this is what Node 20 has not got
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((onValue, onError) => { resolve = onValue; reject = onError; });
  return { promise, resolve, reject };
};
const { StateMachine } = await import(pathToFileURL(process.argv[2]));

class Failure extends Error {
  constructor(name, cause) {
    super(cause);
    this.name = name;
    this.message = cause;
  }
}

function statesOfType(machine, types, found = []) {
  for (const [name, state] of Object.entries(machine.States)) {
    if (types.includes(state.Type)) found.push(name);
    for (const inner of [...(state.Branches ?? []), ...(state.ItemProcessor ? [state.ItemProcessor] : [])]) {
      statesOfType(inner, types, found);
    }
  }
  return found;
}

// an execution that calls so often would not end
const MOST_CALLS = 3000;

// a shard has answers of its own, one for each of its launches; the last answer of a list is repeated
function handler(state, answers, calls, abort) {
  const turns = {};
  return async (input) => {
    // events of branches and shards reach the log one turn of the event loop later
    await new Promise((done) => setTimeout(done, 0));
    const shard = input.Overrides?.ContainerOverrides?.[0]?.Environment?.find(({ Name }) => Name === "SHARD")?.Value ?? "";
    const list = answers[`${state}/${shard}`] ?? answers[state] ?? [{ output: {} }];
    const turn = (turns[shard] = (turns[shard] ?? -1) + 1);
    calls.push({ state, input });
    if (calls.length > MOST_CALLS) abort();
    const answer = list[Math.min(turn, list.length - 1)];
    if ("output" in answer) return answer.output;
    throw new Failure(answer.error, answer.cause);
  };
}

const valid = new Set();

async function run({ definition, input, context, answers }) {
  const tasks = statesOfType(definition, ["Task"]);
  const entered = [], calls = [];
  const text = JSON.stringify(definition);
  // asl-validator, part of the package, takes much longer than an execution
  const machine = new StateMachine(definition, { validationOptions: { noValidate: valid.has(text), checkArn: true, checkPaths: true } });
  valid.add(text);
  const execution = machine.run(input, {
    context,
    overrides: {
      taskResourceLocalHandlers: Object.fromEntries(tasks.map((name) => [name, handler(name, answers, calls, () => execution.abort())])),
      waitTimeOverrides: Object.fromEntries(statesOfType(definition, ["Wait"]).map((name) => [name, 0])),
      retryIntervalOverrides: Object.fromEntries(tasks.map((name) => [name, 0])),
    },
  });
  const logged = (async () => {
    let last = {};
    for await (const event of execution.eventLogs) {
      if (event.type === "StateEntered") entered.push(event.state.name);
      last = event;
    }
    return last;
  })();
  const ended = await execution.result.then((output) => ({ status: "SUCCEEDED", output }), (error) => ({ status: "FAILED", message: error.message }));
  const last = await logged;
  return { ...ended, error: last.Error, cause: last.Cause, entered, calls };
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = await run(JSON.parse(line));
  } catch (error) {
    answer = { status: "INVALID", message: `${error.stack}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
