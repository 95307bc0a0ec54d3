// An HTTP server with many threads, a timer and a child process; see verifying_client.py.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

public class App {
  private static final int PORT = 8080;
  private static final int THREADS = 64;

  private final AtomicLong ticks = new AtomicLong();
  private final ConcurrentHashMap<String, Long> counts = new ConcurrentHashMap<>();
  private final Process cat;
  private final BufferedReader fromCat;

  private App() throws IOException {
    cat = new ProcessBuilder("cat").start();
    fromCat = cat.inputReader();
  }

  private synchronized String echo(String text) throws IOException {
    cat.getOutputStream().write((text + "\n").getBytes(StandardCharsets.UTF_8));
    cat.getOutputStream().flush();
    return fromCat.readLine();
  }

  private String answer(String[] path) throws Exception {
    switch (path[1]) {
      case "digest":
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(path[2].getBytes(StandardCharsets.UTF_8));
        return HexFormat.of().formatHex(digest);
      case "after":
        Thread.sleep(Long.parseLong(path[2]));
        return "after " + path[3];
      case "count":
        return String.valueOf(counts.merge(path[2], 1L, Long::sum));
      case "echo":
        return echo(path[2]);
      default:
        return String.valueOf(ticks.get());
    }
  }

  private void serve(HttpExchange exchange) throws IOException {
    try (exchange; OutputStream body = exchange.getResponseBody()) {
      byte[] text = answer(exchange.getRequestURI().getPath().split("/")).getBytes(StandardCharsets.UTF_8);
      exchange.sendResponseHeaders(200, text.length);
      body.write(text);
    } catch (IOException error) {
      throw error;
    } catch (Exception error) {
      throw new IOException(error);
    }
  }

  public static void main(String[] arguments) throws IOException {
    App app = new App();
    Executors.newScheduledThreadPool(1).scheduleAtFixedRate(app.ticks::incrementAndGet, 10, 10, TimeUnit.MILLISECONDS);
    HttpServer server = HttpServer.create(new InetSocketAddress("0.0.0.0", PORT), 0);
    server.createContext("/", app::serve);
    server.setExecutor(Executors.newFixedThreadPool(THREADS));
    server.start();
  }
}
