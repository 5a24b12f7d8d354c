-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB
/*!40101 SET NAMES utf8mb4 */;
DROP TABLE IF EXISTS `yourls_log`;
INSERT INTO `yourls_log` VALUES (1,'2020-01-01 10:00:00','autumn','direct; INSERT','Firefox (X11)','192.0.2.7','DE');
DROP TABLE IF EXISTS `yourls_url`;
CREATE TABLE `yourls_url` (
  `keyword` varchar(100) NOT NULL DEFAULT '',
  `url` text NOT NULL,
  `title` text DEFAULT NULL,
  `timestamp` timestamp NOT NULL DEFAULT current_timestamp(),
  `ip` varchar(41) NOT NULL DEFAULT '',
  `clicks` int(10) unsigned NOT NULL,
  PRIMARY KEY (`keyword`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
LOCK TABLES `yourls_url` WRITE;
INSERT INTO `yourls_url` VALUES ('1','https://example.com/first','First','2012-05-04 03:02:01','192.0.2.7',7),('autumn','https://example.com/autumn?a=1;b=2','It\'s \"autumn\", (all)','2020-01-01 09:00:00','2001:db8::1',1204);
INSERT INTO `yourls_url` (`keyword`,`url`,`title`,`timestamp`,`ip`,`clicks`) VALUES
('spring-24','https://example.com/spring',NULL,'2024-03-20 00:00:00','192.0.2.8',0);
UNLOCK TABLES;
