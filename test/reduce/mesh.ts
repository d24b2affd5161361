/** Whole peers without a coordinator: host, native endpoint, links and reducer, on loopback in one process. */
import {
  type BulkLinks,
  createBulkLinks,
  type DialTarget,
  type Encryption,
  type LinkView,
} from "../../lib/group/links.js";
import type { Host } from "../../lib/peer/host.js";
import { createReducer, type Reducer } from "../../lib/reduce/all-reduce.js";
import { Endpoint } from "../../lib/reduce/endpoint.js";
import { loopbackHost } from "../peer/hosts.js";

export interface MeshPeer {
  host: Host;
  endpoint: Endpoint;
  links: BulkLinks;
  reducer: Reducer;
  /** What this peer has dialed, tickets and all. */
  dialed: DialTarget[];
  close(): Promise<void>;
}

export async function createMeshPeer(encryption: Encryption = "aes-256-gcm"): Promise<MeshPeer> {
  const host = await loopbackHost();
  const endpoint = new Endpoint({ host: "127.0.0.1", port: 0, silenceLimitMs: 5000, encryption });
  const dialed: DialTarget[] = [];
  const dial = endpoint.dial.bind(endpoint);
  endpoint.dial = (target, ...rest) => {
    dialed.push(target);
    return dial(target, ...rest);
  };
  const links = await createBulkLinks({ host, endpoint, runId: "mesh", encryption });
  return {
    host,
    endpoint,
    links,
    reducer: createReducer({ endpoint, links }),
    dialed,
    async close() {
      await links.close();
      endpoint.close();
      await host.close();
    },
  };
}

export function createMesh(count: number, encryption?: Encryption): Promise<MeshPeer[]> {
  return Promise.all(Array.from({ length: count }, () => createMeshPeer(encryption)));
}

export function viewOf(epoch: number, peers: MeshPeer[]): LinkView {
  return { epoch, members: peers.map(({ host }) => ({ peerId: host.peerId, addresses: host.addresses() })) };
}
