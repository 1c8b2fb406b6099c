# The control plane, without Envoy. From the root of a checkout:
#   docker build -f deploy/docker/control-plane.Dockerfile -t warmpath:0.1.0 .

FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Optional is only a Node.js of its own, for machines with an older one.
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN node node_modules/typescript/bin/tsc -p tsconfig.build.json

FROM node:24-slim
# Nothing is installed from here on. The state directory is the only place that is written to.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn* \
  && install -d -o 10001 -g 10001 -m 0700 /var/lib/warmpath
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
COPY bin/setup.js bin/warmpath.js ./bin/
COPY envoy ./envoy
COPY proto ./proto
ENV NODE_ENV=production WARMPATH_STATE_DIR=/var/lib/warmpath
USER 10001:10001
EXPOSE 9411 9002 9003 9412
# A request leaves much garbage that dies young: more room for it, and one thread that collects it.
ENTRYPOINT ["node", "--max-semi-space-size=32", "--no-parallel-scavenge", "--initial-old-space-size=64", "/app/bin/warmpath.js"]
CMD ["serve"]
