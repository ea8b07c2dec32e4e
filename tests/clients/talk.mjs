// A client of either TypeScript SDK at the other end of a pipe: one JSON line in, one JSON line out.
//   node talk.mjs '{"sdk": "v2", "mode": "auto", "url": "http://…/mcp", "headers": {}}'
import { createInterface } from "node:readline";

const wanted = JSON.parse(process.argv[2]);
const who = { name: "brain-mcp-tests", version: "1" };

async function v1() {
  const sdk = "@modelcontextprotocol/sdk/client";
  const { Client } = await import(`${sdk}/index.js`);
  const { StreamableHTTPClientTransport } = await import(`${sdk}/streamableHttp.js`);
  const { SSEClientTransport } = await import(`${sdk}/sse.js`);
  const { StdioClientTransport } = await import(`${sdk}/stdio.js`);
  return [new Client(who), { StreamableHTTPClientTransport, SSEClientTransport, StdioClientTransport }];
}

async function v2() {
  const { Client, StreamableHTTPClientTransport, SSEClientTransport } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  const client = new Client(who, { versionNegotiation: { mode: wanted.mode } });
  return [client, { StreamableHTTPClientTransport, SSEClientTransport, StdioClientTransport }];
}

function transport(kinds) {
  if (wanted.command) {
    const [command, ...args] = wanted.command;
    return new kinds.StdioClientTransport({ command, args, env: wanted.env, cwd: wanted.cwd });
  }
  const Kind = wanted.sse ? kinds.SSEClientTransport : kinds.StreamableHTTPClientTransport;
  return new Kind(new URL(wanted.url), { requestInit: { headers: wanted.headers } });
}

async function answer(client, asked) {
  if (!asked.tool) {
    return { tools: (await client.listTools()).tools.map((tool) => tool.name) };
  }
  const result = await client.callTool({ name: asked.tool, arguments: asked.arguments });
  const text = (result.content ?? []).map((block) => block.text ?? "").join("\n");
  return { error: result.isError ?? false, text, data: result.structuredContent ?? {} };
}

const [client, kinds] = wanted.sdk === "v1" ? await v1() : await v2();
const wire = transport(kinds);
await client.connect(wire);
console.log(JSON.stringify({ protocol: client.getNegotiatedProtocolVersion?.() ?? wire.protocolVersion ?? "" }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(client, JSON.parse(line))));
}
await client.close();
