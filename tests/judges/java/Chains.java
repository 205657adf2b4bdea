import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Set;

/** Ask Java's CertPath about each directory that tests/judges/chains.py has written. */
public final class Chains {
    private static final String USAGE = "1.3.6.1.5.5.7.3.";

    public static void main(String[] directories) throws Exception {
        for (String directory : directories) {
            Path place = Path.of(directory);
            String[] asked = Files.readString(place.resolve("asked")).trim().split(" ");
            String said;
            try {
                build(place, asked);
                said = "good";
            } catch (GeneralSecurityException error) {
                said = "bad " + String.valueOf(error).replace('\n', ' ');
            }
            System.out.println(place.getFileName() + " " + said);
        }
    }

    private static void build(Path place, String[] asked) throws Exception {
        Collection<X509Certificate> presented = read(place.resolve("all.pem"));
        X509CertSelector wanted = new X509CertSelector();
        wanted.setCertificate(presented.iterator().next());
        switch (asked[0]) {
            case "server" -> {
                wanted.setExtendedKeyUsage(Set.of(USAGE + "1"));
                wanted.addSubjectAlternativeName(2, asked[1]);
            }
            case "client" -> wanted.setExtendedKeyUsage(Set.of(USAGE + "2"));
            case "answers" -> wanted.setExtendedKeyUsage(Set.of(USAGE + "9"));
            default -> {
                if (presented.iterator().next().getBasicConstraints() < 0) {
                    throw new CertificateException("it is no CA");
                }
            }
        }
        TrustAnchor root = new TrustAnchor(read(place.resolve("root.pem")).iterator().next(), null);
        PKIXBuilderParameters how = new PKIXBuilderParameters(Set.of(root), wanted);
        how.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(presented)));
        how.setRevocationEnabled(false);
        CertPathBuilder.getInstance("PKIX").build(how);
    }

    private static Collection<X509Certificate> read(Path path) throws Exception {
        Collection<X509Certificate> found = new ArrayList<>();
        try (InputStream stream = Files.newInputStream(path)) {
            for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(stream)) {
                found.add((X509Certificate) one);
            }
        }
        return found;
    }
}
