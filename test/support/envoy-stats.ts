import { request } from 'node:http';

/**
 * Sum of all of an Envoy's counters and gauges whose name matches, asked through its admin socket. Rejects where it does
 * not answer.
 */
export function envoyStat(socketPath: string, name: RegExp): Promise<number> {
  return new Promise((resolve, reject) => {
    const path = `/stats?format=text&filter=${encodeURIComponent(name.source)}`;
    request({ socketPath, path, timeout: 2_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('error', reject);
      response.on('end', () => {
        const values = [...text.matchAll(/: (\d+)$/gm)].map(([, value]) => Number(value));
        if (values.length === 0) reject(new Error(`Envoy has no statistic ${name.source}`));
        else resolve(values.reduce((sum, each) => sum + each, 0));
      });
    })
      .on('error', reject)
      .end();
  });
}
