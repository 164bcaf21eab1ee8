import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.backend.memory.index.MemoryUniqueIndex;
import de.bwaldvogel.mongo.bson.Document;
import java.util.List;

/**
 * A MongoDB server for development and tests: it keeps everything in memory, and a restarted one is empty.
 *
 * <p>Arguments: the port (0 for a free one), and optionally "until-stdin-ends", so that it never outlives who started it.
 */
public class Server {
    /** PyMongo refuses servers whose wire version is below 9; the commands this project sends are all there. */
    private record Version(List<Integer> getVersionArray, int getWireVersion) implements MongoVersion {}

    /** Uses an index on one key for queries that ask for more, as MongoDB does; otherwise each would be a full scan. */
    private static class PrefixIndex extends MemoryUniqueIndex {
        private final String key;

        PrefixIndex(String name, List<IndexKey> keys, boolean sparse) {
            super(name, keys, sparse);
            key = keys.get(0).getKey();
        }

        @Override
        public synchronized boolean canHandle(Document query) {
            return query.containsKey(key) && super.canHandle(new Document(key, query.get(key)));
        }

        @Override
        public synchronized Iterable<Integer> getPositions(Document query) {
            return super.getPositions(new Document(key, query.get(key)));
        }
    }

    private static class Database extends MemoryDatabase {
        Database(String name, CursorRegistry cursors) {
            super(name, cursors);
        }

        @Override
        protected Index<Integer> openOrCreateUniqueIndex(
                String collection, String name, List<IndexKey> keys, boolean sparse) {
            return keys.size() == 1
                    ? new PrefixIndex(name, keys, sparse)
                    : super.openOrCreateUniqueIndex(collection, name, keys, sparse);
        }
    }

    private static class Backend extends MemoryBackend {
        @Override
        public MemoryDatabase openOrCreateDatabase(String name) {
            return new Database(name, getCursorRegistry());
        }
    }

    public static void main(String[] arguments) throws Exception {
        MemoryBackend backend = new Backend();
        backend.version(new Version(List.of(5, 0, 0), 13));
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        System.out.println("mongodb://127.0.0.1:" + server.getLocalAddress().getPort());
        System.out.flush();
        if (arguments.length > 1 && arguments[1].equals("until-stdin-ends")) {
            while (System.in.read() >= 0) {}
            server.shutdownNow();
        }
    }
}
