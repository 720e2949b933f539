import type {Hit} from './gateway';

/** A value as lines `path: value`, so that two of them can be laid side by side. */
export function flatten(value: unknown, path = ''): [string, string][] {
  if (typeof value !== 'object' || value === null) return [[path, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, v]) => flatten(v, path ? `${path}.${key}` : key));
}

/** What differs between what was sent and what is left; remarks (`_meta`) aside. */
export function differences(before: unknown, after: unknown): {path: string; was: string; is: string}[] {
  const left = new Map(flatten(after));
  return flatten(before)
    .filter(([path, was]) => !path.startsWith('_meta') && left.get(path) !== was)
    .map(([path, was]) => ({path, was, is: left.get(path) ?? 'gone'}));
}

/** What was scrubbed, place by place. */
export function Scrubbed({before, after, hits}: {before: unknown; after: unknown; hits: Hit[]}) {
  const rule = new Map(hits.map((h) => [h.path, h.rule]));
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label="What was scrubbed">
      <table className="scrubbed">
        <thead>
          <tr><th scope="col">Place</th><th scope="col">Sent by the page</th><th scope="col">Left by the rules</th><th scope="col">Rule</th></tr>
        </thead>
        <tbody>
          {differences(before, after).map(({path, was, is}) => (
            <tr key={path}>
              <th scope="row"><code>{path}</code></th>
              <td><del>{was}</del></td>
              <td><ins>{is}</ins></td>
              <td>{rule.get(path) ?? ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
