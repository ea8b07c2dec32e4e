// A server of TypeScript SDK 1 as its examples have it: a session for each client, kept by the process alone.
//   node sessions.mjs PORT STATUS        STATUS: what it answers to a session that it does not know, 400 or 404
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import {
  CallToolRequestSchema,
  isInitializeRequest,
  ListToolsRequestSchema,
  McpError,
} from "@modelcontextprotocol/sdk/types.js";

const [port, status] = process.argv.slice(2).map(Number);
const inputSchema = { type: "object" };
const sessions = new Map();

function server() {
  const made = new Server({ name: "sessions", version: "1" }, { capabilities: { tools: {} } });
  made.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: ["echo", "refuse"].map((name) => ({ name, inputSchema })),
  }));
  made.setRequestHandler(CallToolRequestSchema, ({ params: { name, arguments: given } }) => {
    if (name === "refuse") {
      throw new McpError(given.code, "not on Sundays");
    }
    return { content: [{ type: "text", text: given.text }] };
  });
  return made;
}

async function transportFor(id, message) {
  if (id !== undefined || !isInitializeRequest(message)) {
    return sessions.get(id);
  }
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (made) => void sessions.set(made, transport),
  });
  await server().connect(transport);
  return transport;
}

function refuse(response) {
  const code = status === 404 ? -32001 : -32000;
  const error = { code, message: "Bad Request: No valid session ID provided" };
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ jsonrpc: "2.0", error, id: null }));
}

createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) {
    parts.push(part);
  }
  const message = parts.length ? JSON.parse(Buffer.concat(parts)) : undefined;
  const transport = await transportFor(request.headers["mcp-session-id"], message);
  if (transport === undefined) {
    refuse(response);
  } else {
    await transport.handleRequest(request, response, message);
  }
}).listen(port, "127.0.0.1", () => console.log("listening"));
